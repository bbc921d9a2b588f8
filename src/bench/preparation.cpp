// Cases `svd` and `tokenizer`: what a run does before its first step.
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>

#include "cases.h"
#include "littlebit/core/error.h"
#include "littlebit/core/parallel.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/stopwatch.h"
#include "littlebit/io/safetensors.h"
#include "littlebit/nn/tensor_io.h"
#include "littlebit/quant/randomized_svd.h"
#include "littlebit/quant/starts.h"
#include "littlebit/tokenizer/folder.h"
#include "littlebit/tokenizer/tokenizer.h"

namespace littlebit {
namespace {

double frobenius(const at::Tensor& t) { return at::linalg_vector_norm(t).item<double>(); }

// A matrix whose singular values fall about like those of trained layers: noise under a few strong
// directions.
at::Tensor made_matrix(int64_t rows, int64_t columns) {
  const int64_t strong = std::max<int64_t>(1, std::min(rows, columns) / 16);
  const auto random = [](int64_t m, int64_t n) {
    return at::empty({m, n}, at::TensorOptions().dtype(at::kFloat)).normal_();
  };
  const at::Tensor strengths =
      (at::arange(strong, at::TensorOptions().dtype(at::kFloat)) + 1).pow(-0.5);
  return random(rows, columns) +
         at::matmul(random(rows, strong) * strengths * 2, random(strong, columns));
}

std::vector<at::Tensor> matrices_of(const std::string& shape, const CaseOptions& options) {
  std::vector<at::Tensor> matrices;
  if (options.matrices.empty()) {
    const MatrixShape size = matrix_shape(shape);
    matrices.push_back(made_matrix(size.rows, size.columns));
    return matrices;
  }
  const SafetensorsFile file(options.matrices);
  for (const TensorView& view : file.tensors()) {
    if (view.name.starts_with(shape + "/")) matrices.push_back(map_tensor(view).clone());
  }
  if (matrices.empty()) {
    throw InputError(options.matrices.string() + " has no matrix named " + shape + "/...");
  }
  return matrices;
}

Json measure_matrices(const BenchSetup& setup, const std::string& shape) {
  const CaseOptions& options = setup.options.cases;
  const std::vector<at::Tensor> matrices = matrices_of(shape, options);
  const int64_t shorter = std::min(matrices[0].size(0), matrices[0].size(1));
  const int64_t rank = std::min(
      shorter, options.svd_rank > 0 ? options.svd_rank : std::max<int64_t>(1, shorter / 8));
  const int threads = at::get_num_threads();
  std::vector<LowRank> results(matrices.size());
  std::vector<double> seconds, cpu_seconds;
  const Stopwatch all_runs;
  // A thread for each matrix, as factorize_model does. The first run is not counted.
  for (int run = 0; run < 3 || all_runs.seconds() < 0.5; ++run) {
    const Stopwatch stopwatch;
    const std::clock_t start = std::clock();
    parallel_for(static_cast<int64_t>(matrices.size()), threads, [&](int64_t i) {
      at::set_num_threads(1);
      results[i] = randomized_svd(matrices[i], rank, {}, 1, "bench " + std::to_string(i));
    });
    if (run == 0) continue;
    seconds.push_back(stopwatch.seconds());
    cpu_seconds.push_back(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
  }
  at::set_num_threads(threads);
  double truncation = 0, dual = 0;
  for (size_t i = 0; i < matrices.size(); ++i) {
    const at::Tensor& w = matrices[i];
    truncation += frobenius(w - at::matmul(results[i].left, results[i].right)) / frobenius(w);
    const LayerPlan plan{
        .name = "bench", .d_in = w.size(1), .d_out = w.size(0), .rank = rank, .paths = 2};
    dual += factorize_layer({.weight = w, .plan = plan, .seed = 1}, {}).relative_error;
  }
  const auto count = static_cast<double>(matrices.size());
  return {{"shape", shape},
          {"rank", rank},
          {"matrices", matrices.size()},
          {"seconds", median(std::move(seconds))},
          {"cpu_seconds", median(std::move(cpu_seconds))},
          {"truncation_error", truncation / count},
          {"dual_svid_error", dual / count}};
}

}  // namespace

Json measure_svd(const BenchSetup& setup) {
  const c10::NoGradGuard no_grad;
  Json rows = Json::array();
  for (const std::string& shape : setup.options.cases.shapes) {
    rows.push_back(measure_matrices(setup, shape));
  }
  return {{"rows", std::move(rows)}};
}

Json measure_tokenizer(const BenchSetup& setup) {
  const CaseOptions& options = setup.options.cases;
  if (options.tokenizer.empty() || options.text.empty()) {
    throw UsageError("case tokenizer needs case.tokenizer=DIR and case.text=FILE");
  }
  const std::string text = read_file(options.text);
  std::vector<std::string_view> documents;
  for (size_t at = 0, next; at < text.size(); at = next) {
    next = std::min(text.find("\n = ", at + 1), text.size());
    documents.push_back(std::string_view(text).substr(at, next - at));
  }
  std::unique_ptr<Tokenizer> tokenizer;
  const double load = setup.timer.warm([&] { tokenizer = load_tokenizer(options.tokenizer); });
  size_t ids = 0;
  const double whole =
      setup.timer.warm([&] { ids = tokenizer->encode(text, /*add_special_tokens=*/true).size(); });
  const auto cut = [&](int threads) {
    return setup.timer.warm([&] {
      parallel_for(static_cast<int64_t>(documents.size()), threads, [&](int64_t i) {
        tokenizer->encode(documents[static_cast<size_t>(i)], /*add_special_tokens=*/true);
      });
    });
  };
  const double megabytes = static_cast<double>(text.size()) / 1e6;
  const int threads = at::get_num_threads();
  return {{"rows",
           {{{"tokenizer", tokenizer->description()},
             {"load_seconds", load},
             {"ids", ids},
             {"documents", documents.size()},
             {"whole_mb_per_s", megabytes / whole},
             {"documents_mb_per_s", megabytes / cut(1)},
             {"threads", threads},
             {"documents_threads_mb_per_s", megabytes / cut(threads)}}}}};
}

}  // namespace littlebit
