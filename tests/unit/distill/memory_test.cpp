// What a step may not do: hold logits for the whole batch, or read latents in forward and backward.
#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <fstream>
#include <limits>

#include "littlebit/distill/kl_divergence.h"
#include "littlebit/distill/step.h"
#include "support/tiny_model.h"
#include "support/tiny_training.h"

using namespace littlebit;
using littlebit::test::TinyTraining;

namespace {

// Peak resident bytes since the counter was last reset.
int64_t peak_bytes() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("VmHWM:")) return std::stoll(line.substr(6)) * 1024;
  }
  return 0;
}

bool reset_peak() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;
  return file.good();
}

}  // namespace

TEST_CASE("peak memory of a step does not grow with vocabulary x batch x length") {
  const int64_t vocabulary = 32768, length = 128;
  const TempFolder folder;
  test::write_tiny_llama(folder.path(),
                         {.vocabulary = vocabulary, .hidden = 16, .intermediate = 16, .layers = 1});
  TinyTraining bench(folder.path());
  DistillationStep step(bench.teacher.decoder, *bench.student, {}, Recompute::kFull);
  const auto peak_of = [&](int64_t sequences) {
    const at::Tensor ids =
        at::randint(vocabulary, {sequences, length}, at::TensorOptions().dtype(at::kLong));
    step.accumulate(ids, sequences, bench.gradients);  // warm
    REQUIRE(reset_peak());
    step.accumulate(ids, sequences, bench.gradients);
    return peak_bytes();
  };
  const int64_t few = peak_of(4), many = peak_of(32);
  // What may grow with 28 * 128 tokens: some forty tensors of 16 numbers a token (hidden states,
  // what autograd keeps of a block), in fp32, and as much again for the gaps of the heap. The
  // logits of as many rows would take 470 MB.
  const int64_t states = 28 * length * 40 * 16 * 4;
  INFO("4 sequences: " << few << " bytes, 32 sequences: " << many);
  CHECK(many - few < 2 * states);
}

TEST_CASE(
    "forward and backward read no latents: they may be anything, gradients of weights stay the "
    "same") {
  const TempFolder folder;
  test::write_tiny_llama(folder.path());
  TinyTraining bench(folder.path());
  DistillationStep step(bench.teacher.decoder, *bench.student, {}, Recompute::kFull);
  const at::Tensor ids = at::randint(48, {2, 12}, at::TensorOptions().dtype(at::kLong));
  const auto take = [&](std::vector<at::Tensor>& latent_gradients) {
    const DistillationLoss loss = step.accumulate(ids, 2, bench.gradients);
    for (GroupGradients& group : bench.gradients) {
      if (group.is_empty()) continue;
      group.finish();
      latent_gradients.push_back(group.latents().clone());
      group.clear();
    }
    return loss;
  };
  std::vector<at::Tensor> gradients, gradients_again;
  const DistillationLoss loss = take(gradients);
  for (const at::Tensor& latents : bench.latents()) {
    latents.fill_(std::numeric_limits<double>::quiet_NaN());
  }
  const DistillationLoss again = take(gradients_again);
  CHECK(again.read_kl() == loss.read_kl());
  CHECK(again.read_hidden() == loss.read_hidden());
  REQUIRE(gradients.size() > 1);
  REQUIRE(gradients_again.size() == gradients.size());
  for (size_t i = 0; i < gradients.size(); ++i) CHECK(at::equal(gradients_again[i], gradients[i]));
}

TEST_CASE("KL in chunks equals KL at once, value and gradient") {
  const TempFolder folder;
  test::write_tiny_llama(folder.path());
  const TinyTraining bench(folder.path());
  at::manual_seed(1);
  const at::Tensor zt = at::randn({2500, 32}), zs = at::randn({2500, 32});
  at::Tensor dz = at::zeros({2500, 32});
  const double got =
      kl_divergence(bench.teacher.decoder, bench.student->decoder(), zt, zs, 0.25, dz)
          .item<double>();
  const at::Tensor& head = dense_weight(bench.teacher.decoder.head());
  const at::Tensor log_p = at::log_softmax(at::matmul(zt, head.t()).to(at::kDouble), -1);
  const at::Tensor log_q = at::log_softmax(at::matmul(zs, head.t()).to(at::kDouble), -1);
  CHECK(got == Approx((log_p.exp() * (log_p - log_q)).sum().item<double>()).epsilon(1e-5));
  const at::Tensor want = at::matmul((log_q.exp() - log_p.exp()) * 0.25, head.to(at::kDouble));
  CHECK(at::allclose(dz.to(at::kDouble), want, 1e-4, 1e-6));
  CHECK(head_rows(32000) == 524);
  CHECK(head_rows(256) == 1024);
  CHECK(head_rows(int64_t{1} << 40) == 64);
}
