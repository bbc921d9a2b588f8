// Sign bits anew from latents, beside those that were there, with the number that changed. Training
// takes its bits from update_latents.h, in the pass that moves the latents; this is for latents
// that came from elsewhere (initial factors, a checkpoint), and the definition that the pass is
// held against.
#include "littlebit/ops/update_signs.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>

#include <atomic>

#include "littlebit/core/error.h"
#include "ops/made_numbers.h"
#include "ops/operation.h"

namespace littlebit {

void update_signs(const at::Tensor& latents, const at::Tensor& words, const at::Tensor& flips) {
  LB_ASSERT(latents.is_contiguous() && latents.numel() == words.numel() * 32, "32 latents a word");
  dispatched<UpdateSigns>().call(
      latents, words, flips.defined() ? flips : at::zeros({1}, words.options().dtype(at::kLong)));
}

void UpdateSigns::twin(const at::Tensor& latents, const at::Tensor& words,
                       const at::Tensor& flips) {
  const at::Tensor place = at::arange(32, words.options().dtype(at::kInt));
  // Distinct powers of two, whose sum is the word; bit 31 counts as -2^31, as it does in an int32.
  const at::Tensor fresh =
      latents.lt(0).view({-1, 32}).to(at::kInt).bitwise_left_shift(place).sum(1).to(at::kInt);
  const at::Tensor changed =
      fresh.bitwise_xor(words).unsqueeze(1).bitwise_right_shift(place).bitwise_and(1);
  words.copy_(fresh);
  flips.add_(changed.sum());
}

void UpdateSigns::cpu(const at::Tensor& latents, const at::Tensor& words, const at::Tensor& flips) {
  with_job(latents, words, flips, [](const auto& job) {
    constexpr int64_t kGrain = 1 << 11;  // words worth a thread of their own
    std::atomic<int64_t> changed = 0;
    at::parallel_for(0, job.num_words, kGrain, [&](int64_t begin, int64_t end) {
      // Threads own whole words. Counts are whole numbers: the order in which they are added does
      // not matter.
      changed += pack_signs(job.latents + begin * 32, (end - begin) * 32, job.words + begin);
    });
    *job.flips += changed;
  });
}

std::vector<OperationCase> UpdateSigns::cases() {
  std::vector<OperationCase> cases;
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
    for (const int64_t words : {1, 33, 640, 1 << 20}) {
      const int64_t count = words * 32;
      cases.push_back(
          {.operation = kName,
           .shape = std::to_string(count),
           .dtype = dtype,
           .tolerance = 0,
           .bytes = static_cast<double>(count) *
                    (2.0 / 8 + static_cast<double>(c10::elementSize(dtype))),
           .timed = words == 1 << 20,
           .arguments = [=](at::Device device) {
             const at::Tensor latents = made_numbers("latents", {count});
             latents.narrow(0, 3, 5).zero_();
             latents.narrow(0, 5, 1).neg_();  // -0
             return torch::jit::Stack{
                 latents.to(device, dtype), made_words(kName, words).to(device),
                 at::zeros({1}, at::TensorOptions().dtype(at::kLong)).add_(7).to(device)};
           }});
    }
  }
  return cases;
}

}  // namespace littlebit
