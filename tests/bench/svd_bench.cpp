// Speed and error of the randomised SVD and of Dual-SVID on the matrices of a safetensors file.
//
// svd_bench FILE SHAPE RANK THREADS    e.g. svd_bench matrices.safetensors 4096x4096 1000 2
// takes every matrix of that shape, a thread each as factorize_model does, and prints one JSON
// line: seconds (wall, for all of them, the least of the runs that half a second takes, two or
// more), and the mean relative errors of the truncation and of two paths.
// tests/bench/compare/svd_lowrank.py calls it beside torch.svd_lowrank.
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/parallel.h"
#include "littlebit/core/process.h"
#include "littlebit/core/stopwatch.h"
#include "littlebit/io/json.h"
#include "littlebit/io/safetensors.h"
#include "littlebit/nn/tensor_io.h"
#include "littlebit/quant/factorization.h"

namespace littlebit {
namespace {

double frobenius(const at::Tensor& t) { return at::linalg_vector_norm(t).item<double>(); }

void measure(const std::string& file_name, const std::string& shape, int64_t rank, int threads) {
  const SafetensorsFile file(file_name);
  std::vector<at::Tensor> matrices;
  for (const TensorView& view : file.tensors()) {
    if (view.name.starts_with(shape + "/")) matrices.push_back(map_tensor(view).clone());
  }
  if (matrices.empty()) throw InputError(file_name + " has no matrix of shape " + shape);
  const auto count = static_cast<int64_t>(matrices.size());
  std::vector<LowRank> results(matrices.size());
  double seconds = std::numeric_limits<double>::infinity(), cpu_seconds = seconds;
  const Stopwatch all_runs;
  for (int run = 0; run < 2 || all_runs.seconds() < 0.5; ++run) {  // the first one also warms up
    const Stopwatch stopwatch;
    const std::clock_t cpu_start = std::clock();
    parallel_for(count, threads, [&](int64_t i) {
      at::set_num_threads(1);
      results[i] = randomized_svd(matrices[i], rank, {}, 1, "bench " + std::to_string(i));
    });
    seconds = std::min(seconds, stopwatch.seconds());
    cpu_seconds =
        std::min(cpu_seconds, static_cast<double>(std::clock() - cpu_start) / CLOCKS_PER_SEC);
  }

  double truncation = 0, dual = 0;
  for (int64_t i = 0; i < count; ++i) {
    const at::Tensor& w = matrices[i];
    truncation += frobenius(w - at::matmul(results[i].left, results[i].right)) / frobenius(w);
    const LayerPlan plan{
        .name = "bench", .d_in = w.size(1), .d_out = w.size(0), .rank = rank, .paths = 2};
    dual += factorize_layer(w, plan, {}, 1).relative_error;
  }
  std::cout << to_json_line({{"shape", shape},
                             {"rank", rank},
                             {"matrices", count},
                             {"seconds", seconds},
                             {"cpu_seconds", cpu_seconds},
                             {"truncation_error", truncation / static_cast<double>(count)},
                             {"dual_svid_error", dual / static_cast<double>(count)}})
            << std::endl;
}

}  // namespace
}  // namespace littlebit

int main(int argc, char** argv) {
  if (argc != 5) {
    std::cerr << "usage: svd_bench FILE SHAPE RANK THREADS\n";
    return 2;
  }
  littlebit::keep_freed_memory();  // as littlebit-train does
  const c10::NoGradGuard no_grad;
  try {
    littlebit::measure(argv[1], argv[2], std::atoll(argv[3]), std::atoi(argv[4]));
  } catch (const littlebit::Error& error) {
    std::cerr << error.what() << "\n";
    return static_cast<int>(error.code());
  }
}
