// Packed layers and models against dense ones, as ratios within one run.
//
// packed_bench [THREADS]    prints two Markdown tables: one linear layer by rows of x, and greedy
// generation with a full cache by a model of SmolLM2-135M's shape with random weights.
#include <ATen/Parallel.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <c10/core/GradMode.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>

#include "littlebit/core/error.h"
#include "littlebit/eval/model.h"
#include "littlebit/models/incremental.h"
#include "littlebit/quant/packed_linear.h"
#include "support/packed_folder.h"
#include "support/peak_memory.h"
#include "temp_folder.h"

namespace littlebit {
namespace {

double seconds_of(const std::function<void()>& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The best times of two things done in turns: the machine may be busy with others.
std::pair<double, double> best_of(const std::function<void()>& a, const std::function<void()>& b,
                                  double budget_seconds) {
  a();
  b();
  double best_a = 1e9, best_b = 1e9, spent = 0;
  for (int i = 0; i < 3 || spent < budget_seconds; ++i) {
    const double in_a = seconds_of(a), in_b = seconds_of(b);
    best_a = std::min(best_a, in_a);
    best_b = std::min(best_b, in_b);
    spent += in_a + in_b;
  }
  return {best_a, best_b};
}

PackedLinear random_layer(int64_t d_out, int64_t d_in, double bits) {
  QuantOptions options;
  options.bits_per_weight = bits;
  const LayerPlan plan = plan_layer("layer", d_in, d_out, options);
  const auto signs = [](int64_t rows, int64_t cols) {
    return PackedSigns(at::randint(INT32_MIN, INT32_MAX, {rows, (cols + 31) / 32}, at::kInt), cols,
                       at::kCPU);
  };
  std::vector<PackedPath> paths;
  for (int p = 0; p < plan.paths; ++p) {
    paths.push_back({.U = signs(d_out, plan.rank),
                     .V = signs(plan.rank, d_in),
                     .h = at::randn({d_out}),
                     .l = at::randn({plan.rank}),
                     .g = at::randn({d_in})});
  }
  return {"layer", std::move(paths), {}, at::kFloat};
}

void compare_layers() {
  const std::pair<int64_t, int64_t> shapes[] = {{576, 576}, {1536, 576}, {4096, 4096}};
  std::printf("| d_out x d_in | bits | rows of x | dense fp32, us | packed, us | packed is |\n");
  std::printf("|---|---|---|---|---|---|\n");
  for (const auto& [d_out, d_in] : shapes) {
    const DenseLinear matrix(at::randn({d_out, d_in}), {});
    for (const double bits : {1.0, 0.55, 0.1}) {
      const PackedLinear layer = random_layer(d_out, d_in, bits);
      for (const int64_t rows : {1, 4, 8, 16, 64, 2048}) {
        const at::Tensor x = at::randn({rows, d_in});
        const auto [dense, packed] =
            best_of([&] { matrix.forward(x); }, [&] { layer.forward(x); }, 0.2);
        std::printf("| %lld x %lld | %.2f | %lld | %.1f | %.1f | %.2f x |\n",
                    static_cast<long long>(d_out), static_cast<long long>(d_in), bits,
                    static_cast<long long>(rows), dense * 1e6, packed * 1e6, dense / packed);
        std::fflush(stdout);
      }
    }
  }
}

// Of the same shape, weights in memory.
Decoder dense_model(const std::filesystem::path& folder) {
  Decoder decoder(parse_model_spec(HfFolder(folder).config()), at::kFloat, at::kCPU);
  const ModelSpec& spec = decoder.spec();
  decoder.frozen.embedding = at::randn({spec.vocab_size, spec.hidden_size});
  decoder.frozen.head = decoder.frozen.embedding;
  decoder.visit_linears([](LinearSlot& slot) {
    const at::Tensor weight = at::randn({slot.d_out, slot.d_in});
    slot.linear = std::make_unique<DenseLinear>(
        weight.div_(std::sqrt(static_cast<double>(slot.d_in))), at::Tensor());
  });
  decoder.visit_parameters(
      [](Parameter& parameter) { parameter.value = at::full({parameter.size}, 1.0, at::kFloat); });
  return decoder;
}

class Generator {
 public:
  explicit Generator(const Decoder& decoder)
      : decoder_(decoder), incremental_(decoder, CacheKind::kFull) {
    incremental_.extend(std::vector<int32_t>{1});
  }

  void step() {
    const at::Tensor z = incremental_.extend({&token_, 1});
    token_ = static_cast<int32_t>(decoder_.head_forward(z[0]).argmax().item<int64_t>());
  }

 private:
  const Decoder& decoder_;
  IncrementalDecoder incremental_;
  int32_t token_ = 1;
};

double mebibytes(int64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

test::PackedShape smollm2(double bits) {
  return {.vocabulary = 49152,
          .hidden = 576,
          .intermediate = 1536,
          .layers = 30,
          .heads = 9,
          .kv_heads = 3,
          .bits = bits,
          .tied = true};
}

void compare_generation() {
  std::printf(
      "\n| bits | dense fp32, tokens/s | packed, tokens/s | packed is | dense, MiB | packed, MiB | "
      "packed takes |\n|---|---|---|---|---|---|---|\n");
  const TempFolder shape;
  test::write_packed_llama(shape.path(), smollm2(0.1));
  const auto resident = [] {
    malloc_trim(0);
    return test::status_bytes("VmRSS");
  };
  const int64_t start = resident();
  const Decoder dense = dense_model(shape.path());
  Generator of_dense(dense);
  of_dense.step();
  const double dense_mib = mebibytes(resident() - start);
  for (const double bits : {1.0, 0.55, 0.1}) {
    const TempFolder temp;
    test::write_packed_llama(temp.path(), smollm2(bits));
    const int64_t before = resident();
    const EvalModel packed(temp.path(), at::kFloat, at::kCPU);
    Generator of_packed(packed.decoder());
    of_packed.step();
    const double packed_mib = mebibytes(resident() - before);
    const auto [dense_s, packed_s] =
        best_of([&] { of_dense.step(); }, [&] { of_packed.step(); }, 6);
    std::printf("| %.2f | %.1f | %.1f | %.2f x | %.0f | %.0f | 1/%.1f |\n", bits, 1 / dense_s,
                1 / packed_s, dense_s / packed_s, dense_mib, packed_mib, dense_mib / packed_mib);
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace littlebit

int main(int argc, char** argv) {
  const c10::NoGradGuard no_grad;
  if (argc > 1) at::set_num_threads(std::atoi(argv[1]));
  littlebit::compare_layers();
  littlebit::compare_generation();
}
