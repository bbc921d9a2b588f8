// Cases `golden` and `self-test`: whether this device computes what it should.
#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cases.h"
#include "littlebit/core/error.h"
#include "littlebit/core/place.h"
#include "littlebit/device/device.h"
#include "littlebit/models/architectures.h"
#include "littlebit/models/forward.h"
#include "littlebit/models/load.h"
#include "littlebit/nn/tensor_io.h"
#include "littlebit/train/self_test.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

constexpr char kExpected[] = "expected.safetensors";

// Folders below `root` that hold a model and what it must give, in order.
std::vector<fs::path> recorded_models(const fs::path& root) {
  std::vector<fs::path> folders;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root, error)) {
    if (entry.path().filename() != kExpected) continue;
    const fs::path folder = entry.path().parent_path();
    if (path_exists(folder / "config.json")) folders.push_back(folder);
  }
  if (folders.empty()) {
    throw InputError(root.string() + ": no folder below it holds config.json and " + kExpected,
                     "case.golden=tests/golden names those of this project");
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

}  // namespace

const char* verdict(bool ok) { return ok ? "ok" : "FAILED"; }

Json compare_golden(const BenchSetup& setup) {
  const c10::NoGradGuard no_grad;
  const fs::path& root = setup.options.cases.golden;
  if (root.empty()) {
    throw UsageError("case golden: no folder was named", "case.golden=tests/golden");
  }
  Json rows = Json::array();
  for (const fs::path& path : recorded_models(root)) {
    HfFolder folder(path);
    folder.open_tensors();
    const ModelSpec spec = parse_model_spec(folder.config());
    const SafetensorsFile expected(path / kExpected);
    const TensorView *ids = expected.find("input_ids"), *logits = expected.find("logits");
    if (ids == nullptr || logits == nullptr) {
      throw InputError((path / kExpected).string() + ": no tensors input_ids and logits");
    }
    const at::Tensor want = map_tensor(*logits).to(at::kDouble);
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      const Decoder decoder = load_decoder(folder, spec, dtype, setup.device());
      const at::Tensor got = forward_full(decoder, map_tensor(*ids), false).logits;
      const double difference =
          at::linalg_vector_norm(got.to(at::kCPU, at::kDouble) - want).item<double>() /
          at::linalg_vector_norm(want).item<double>();
      // fp32: sums of some hundred terms in another order. bf16: weights and activations with 8
      // bits, a few layers of them.
      const double allowed = dtype == at::kFloat ? 1e-4 : 3e-2;
      const bool ok = difference <= allowed;  // false where it is NaN
      rows.push_back({{"model", fs::relative(path, root).generic_string()},
                      {"dtype", name_of(dtype)},
                      {"difference", difference},
                      {"allowed", allowed},
                      {"ok", ok},
                      {"verdict", verdict(ok)}});
    }
  }
  return {{"rows", std::move(rows)}};
}

Json compare_self_test(const BenchSetup& setup) {
  Json rows = Json::array();
  constexpr uint64_t kSeed = 42;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const SelfTestRow& row : self_test(setup.device(), dtype, kSeed)) {
      rows.push_back({{"dtype", name_of(dtype)},
                      {"check", row.check},
                      {"difference", row.difference},
                      {"allowed", row.tolerance},
                      {"ok", row.ok()},
                      {"verdict", verdict(row.ok())}});
    }
  }
  return {{"rows", std::move(rows)}};
}

}  // namespace littlebit
