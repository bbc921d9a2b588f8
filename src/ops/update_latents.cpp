// AdamW on latents and their new sign bits in one pass: latents, moments and gradients are the
// largest arrays of a run, and the pass goes over each once. Moments in bf16 or int8 are
// widened in registers and rounded at random, since updates below half a unit would otherwise
// vanish step after step. The plain form draws the kernels' random numbers, by Philox in int64
// tensors, so that both round the same way.
#include "littlebit/ops/update_latents.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <array>
#include <atomic>
#include <cmath>

#include "littlebit/core/error.h"
#include "littlebit/ops/update_signs.h"
#include "ops/made_numbers.h"
#include "ops/operation.h"

namespace littlebit {
namespace {

// A word of 32 bits in int64, from a product that may have used all 64.
at::Tensor low_word(const at::Tensor& product) { return product.bitwise_and(0xFFFFFFFF); }
at::Tensor high_word(const at::Tensor& product) {
  return product.bitwise_right_shift(32).bitwise_and(0xFFFFFFFF);
}

// moment_bits() (kernels/moment_codes.h) of `count` latents from `first` on.
at::Tensor chances(const at::Tensor& like, int64_t count, int64_t first, int64_t step,
                   int64_t group) {
  constexpr int64_t kLanes = kMomentBlock / 4;
  // 32 lanes draw for a block's 128 latents: word k of lane i is latent 32 k + i's. The counter is
  // the place of block and lane, the step and the group, so that no draw depends on how latents are
  // divided among processes or threads.
  const auto options = like.options().dtype(at::kLong);
  const at::Tensor lane = at::arange(count / 4, options);
  const at::Tensor block = at::floor_divide(lane, kLanes).add_(first / kMomentBlock);
  std::array<at::Tensor, 4> c = {
      low_word(block),
      low_word(high_word(block).bitwise_left_shift(5)).bitwise_or(lane.remainder(kLanes)),
      at::full_like(lane, step & 0xFFFFFFFF), at::full_like(lane, group & 0xFFFFFFFF)};
  // The key is ASCII for "moments!"; all other constants are Philox's own. ATen has no products of
  // unsigned 32-bit words, and int64 wraps to the same low 64 bits.
  uint32_t k0 = 0x6D6F6D65, k1 = 0x6E747321;
  for (int round = 0; round < 10; ++round) {
    const at::Tensor p0 = c[0] * int64_t{0xD2511F53}, p1 = c[2] * int64_t{0xCD9E8D57};
    c = {high_word(p1).bitwise_xor(c[1]).bitwise_xor(int64_t{k0}), low_word(p1),
         high_word(p0).bitwise_xor(c[3]).bitwise_xor(int64_t{k1}), low_word(p0)};
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  // [block, word, lane] is the order of the latents.
  return at::stack({c[0].view({-1, kLanes}), c[1].view({-1, kLanes}), c[2].view({-1, kLanes}),
                    c[3].view({-1, kLanes})},
                   1)
      .view({-1});
}

at::Tensor bits_of(const at::Tensor& numbers) {
  return numbers.to(at::kFloat).contiguous().view(at::kInt).to(at::kLong);
}

at::Tensor numbers_of(const at::Tensor& bits) { return bits.to(at::kInt).view(at::kFloat); }

// A code's size, and the code of a size: `fraction` bits of place in an octave. fp32 numbers of one
// sign are ordered like their bits, and exponent and leading fraction bits are a logarithm in
// steps. A code is those leading bits, counted from the smallest size that has one; the largest
// code stands for 1.0.
int64_t most_code(int fraction) { return (int64_t{16} << fraction) - 1; }
int64_t base_code(int fraction) { return (int64_t{127} << fraction) - most_code(fraction); }

at::Tensor sizes_of(const at::Tensor& codes, int fraction) {
  const at::Tensor sizes =
      numbers_of((codes + base_code(fraction)).bitwise_left_shift(23 - fraction));
  return sizes.masked_fill(codes.eq(0), 0);
}

at::Tensor codes_of(const at::Tensor& sizes, const at::Tensor& chance, int fraction,
                    bool never_zero) {
  // Random bits are added to those that will be cut off: the sum carries as often as what is cut
  // off is part of a step, which is rounding with the right mean.
  const int dropped = 23 - fraction;
  const at::Tensor bits = bits_of(sizes);
  const at::Tensor rounded =
      (bits + chance.bitwise_left_shift(dropped - 16)).bitwise_right_shift(dropped) -
      base_code(fraction);
  // The bits of code 1's number, and the number.
  const int64_t first = (base_code(fraction) + 1) << dropped;
  const double smallest = moment_float(static_cast<uint32_t>(first));
  // Below the smallest code there are only 0 and that code, chosen in the same proportion.
  const at::Tensor low = never_zero ? sizes.gt(0) : chance.lt(sizes * (65536 / smallest));
  return at::where(bits.lt(first), low.to(at::kLong), rounded).clamp_max_(most_code(fraction));
}

// The moments in the latents' type, and back.
struct Widened {
  at::Tensor average, square;
};

Widened widened(const LatentMoments& moments, at::ScalarType type) {
  if (moments.exp_avg.scalar_type() != at::kByte) {
    // Kept as they are computed, or in bf16, which is widened.
    return {moments.exp_avg.to(type), moments.exp_avg_sq.to(type)};
  }
  const auto by_block = [](const at::Tensor& sizes, const at::Tensor& scales) {
    return (sizes.view({-1, kMomentBlock}) * scales.unsqueeze(1)).view({-1});
  };
  const at::Tensor codes = moments.exp_avg.to(at::kLong);
  const at::Tensor sizes = sizes_of(codes.bitwise_and(0x7F), 3);
  const at::Tensor average =
      by_block(at::where(codes.gt(0x7F), -sizes, sizes), moments.average_scales);
  const at::Tensor root =
      by_block(sizes_of(moments.exp_avg_sq.to(at::kLong), 4), moments.root_scales);
  return {average.to(type), root.square().to(type)};
}

// `chance`: undefined where nothing is rounded.
LatentMoments narrowed(const Widened& wide, const LatentMoments& like, const at::Tensor& chance) {
  const at::ScalarType type = like.exp_avg.scalar_type();
  if (!chance.defined()) {
    return {wide.average.to(type), wide.square.to(type), like.average_scales, like.root_scales};
  }
  const at::Tensor of_average = chance.bitwise_and(0xFFFF),
                   of_square = chance.bitwise_right_shift(16);
  if (type == at::kBFloat16) {
    // bf16 is the upper half of fp32: the random half-word is added to the lower half, which is
    // then cut off.
    const auto rounded = [](const at::Tensor& numbers, const at::Tensor& by) {
      return numbers_of((bits_of(numbers) + by).bitwise_and(0xFFFF0000)).to(at::kBFloat16);
    };
    return {rounded(wide.average, of_average), rounded(wide.square, of_square), like.average_scales,
            like.root_scales};
  }
  const auto scales_of = [](const at::Tensor& sizes) {
    return sizes.view({-1, kMomentBlock}).amax(1);
  };
  const auto parts_of = [](const at::Tensor& sizes, const at::Tensor& scales) {
    const at::Tensor divisor = at::where(scales.gt(0), scales, 1.0F);
    return (sizes.view({-1, kMomentBlock}) / divisor.unsqueeze(1)).view({-1});
  };
  // Each block of 128 is scaled by its largest number, which then has the largest code.
  const at::Tensor average = wide.average.to(at::kFloat), root = wide.square.to(at::kFloat).sqrt();
  const at::Tensor scales = scales_of(average.abs()), root_scales = scales_of(root);
  const at::Tensor sizes = codes_of(parts_of(average.abs(), scales), of_average, 3, false);
  return {(sizes + average.signbit().to(at::kLong) * 0x80).to(at::kByte),
          codes_of(parts_of(root, root_scales), of_square, 4, true).to(at::kByte), scales,
          root_scales};
}

// `count` latents from `begin` on. What would not be finite is computed, too, and left where it is.
void update_plainly(const at::Tensor& gradients, const at::Tensor& latents,
                    const LatentMoments& moments, const at::Tensor& clip, const LatentStep& by) {
  // Whether the step is taken is known to the device alone: to branch on it, the host would have to
  // wait.
  const at::Tensor goes = clip.isfinite();  // where not, the whole step is left out (optimizer.cpp)
  const auto put = [&](const at::Tensor& to, const at::Tensor& value) {
    to.copy_(at::where(goes, value, to));
  };
  // AdamW, with rate r and weight decay w, both moments corrected for having begun at zero:
  //
  //     m += (1 - beta1) (g - m)    v = beta2 v + (1 - beta2) g^2
  //     x = (1 - r w) x - r m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)
  const double correction1 = 1 - std::pow(by.beta1, static_cast<double>(by.step));
  const double correction2 = 1 - std::pow(by.beta2, static_cast<double>(by.step));
  const at::Tensor g = gradients * clip;
  Widened wide = widened(moments, latents.scalar_type());
  wide.average = wide.average + (1 - by.beta1) * (g - wide.average);
  wide.square = by.beta2 * wide.square + (1 - by.beta2) * g * g;
  put(latents, latents * (1 - by.rate * by.weight_decay) -
                   by.rate / correction1 * wide.average /
                       (wide.square.sqrt() / std::sqrt(correction2) + by.epsilon));
  const bool is_rounded = moments.exp_avg.scalar_type() != latents.scalar_type();
  const LatentMoments kept = narrowed(
      wide, moments,
      is_rounded ? chances(latents, latents.numel(), by.first, by.step, by.group) : at::Tensor());
  put(moments.exp_avg, kept.exp_avg);
  put(moments.exp_avg_sq, kept.exp_avg_sq);
  put(moments.average_scales, kept.average_scales);
  put(moments.root_scales, kept.root_scales);
}

}  // namespace

LatentMoments LatentMoments::narrow(int64_t begin, int64_t count) const {
  // Moments that are not codes have no scales.
  const auto scales = [&](const at::Tensor& all) {
    return all.numel() == 0 ? all : all.narrow(0, begin / kMomentBlock, count / kMomentBlock);
  };
  return {exp_avg.narrow(0, begin, count), exp_avg_sq.narrow(0, begin, count),
          scales(average_scales), scales(root_scales)};
}

void update_latents(const at::Tensor& gradients, const at::Tensor& latents,
                    const LatentMoments& moments, const at::Tensor& words, const at::Tensor& flips,
                    const at::Tensor& clip, const LatentStep& by) {
  dispatched<UpdateLatents>().call(gradients, latents, moments.exp_avg, moments.exp_avg_sq,
                                   moments.average_scales, moments.root_scales, words, flips, clip,
                                   by.rate, by.beta1, by.beta2, by.epsilon, by.weight_decay,
                                   by.step, by.group, by.first);
}

void UpdateLatents::twin(const at::Tensor& gradients, const at::Tensor& latents,
                         const at::Tensor& exp_avg, const at::Tensor& exp_avg_sq,
                         const at::Tensor& average_scales, const at::Tensor& root_scales,
                         const at::Tensor& words, const at::Tensor& flips, const at::Tensor& clip,
                         double rate, double beta1, double beta2, double epsilon,
                         double weight_decay, int64_t step, int64_t group, int64_t first) {
  const LatentMoments moments{exp_avg, exp_avg_sq, average_scales, root_scales};
  check_update(gradients, latents, moments, words, clip, first);
  constexpr int64_t kPiece = 1 << 20;  // what bounds the memory of all that is made on the way
  for (int64_t begin = 0; begin < latents.numel(); begin += kPiece) {
    const int64_t count = std::min(kPiece, latents.numel() - begin);
    update_plainly(gradients.narrow(0, begin, count), latents.narrow(0, begin, count),
                   moments.narrow(begin, count), clip,
                   {rate, beta1, beta2, epsilon, weight_decay, step, group, first + begin});
  }
  if (latents.numel() == 0) return;
  // Signs once more from the latents; where the step was not taken, the old words stay.
  const at::Tensor goes = clip.isfinite(), fresh = words.clone(), changed = at::zeros_like(flips);
  update_signs(latents, fresh, changed);
  words.copy_(at::where(goes, fresh, words));
  flips.add_(changed * goes);
}

void UpdateLatents::cpu(const at::Tensor& gradients, const at::Tensor& latents,
                        const at::Tensor& exp_avg, const at::Tensor& exp_avg_sq,
                        const at::Tensor& average_scales, const at::Tensor& root_scales,
                        const at::Tensor& words, const at::Tensor& flips, const at::Tensor& clip,
                        double rate, double beta1, double beta2, double epsilon,
                        double weight_decay, int64_t step, int64_t group, int64_t first) {
  if (!has_kernel(gradients, latents)) {
    return twin(gradients, latents, exp_avg, exp_avg_sq, average_scales, root_scales, words, flips,
                clip, rate, beta1, beta2, epsilon, weight_decay, step, group, first);
  }
  with_job(gradients, latents, exp_avg, exp_avg_sq, average_scales, root_scales, words, flips, clip,
           rate, beta1, beta2, epsilon, weight_decay, step, group, first, [](const auto& job) {
             constexpr int64_t kGrain = 1 << 7;  // blocks worth a thread of their own
             std::atomic<int64_t> changed = 0;
             at::parallel_for(0, job.blocks, kGrain, [&](int64_t begin, int64_t end) {
               // Threads work on whole blocks, whose words of bits nobody shares. Counts are whole
               // numbers: the order in which they are added does not matter.
               changed += move_latents(job, begin, end);
             });
             *job.flips += changed;
           });
}

std::vector<OperationCase> UpdateLatents::cases() {
  std::vector<OperationCase> cases;
  const auto add = [&](int64_t blocks, at::ScalarType dtype, at::ScalarType kept, bool is_finite,
                       bool timed) {
    const int64_t count = blocks * kMomentBlock;
    const char* name = kept == at::kByte       ? ", moments of 8 bits"
                       : kept == at::kBFloat16 ? ", moments of bf16"
                                               : "";
    const auto bytes = [](at::ScalarType type) {
      return static_cast<double>(c10::elementSize(type));
    };
    cases.push_back(
        {.operation = kName,
         .shape = std::to_string(count) + name + (is_finite ? "" : ", not taken"),
         .dtype = dtype,
         // What is rounded by chance may go the other way where the last bit of fp32 differs.
         .tolerance = !is_finite              ? 0
                      : dtype == at::kDouble  ? 1e-13
                      : kept == at::kByte     ? 1e-3
                      : kept == at::kBFloat16 ? 1e-4
                                              : 1e-6,
         .bytes = static_cast<double>(count) * (3 * bytes(dtype) + 4 * bytes(kept) + 0.25),
         .timed = timed,
         .arguments = [=](at::Device device) {
           const auto made = [&](const char* of, int64_t n) {
             return made_numbers(of, {n}).to(device);
           };
           const bool has_codes = kept == at::kByte;
           const int64_t scales = has_codes ? blocks : 0;
           const auto moment = [&](const char* of) {
             // Codes of any size, of either sign; else numbers, squares positive.
             const at::Tensor numbers = made(of, count);
             if (has_codes) return numbers.mul(40).abs().clamp_max(255).to(at::kByte);
             return numbers.to(kept);
           };
           return torch::jit::Stack{
               made("gradients", count).to(dtype),
               made("latents", count).mul(0.1).to(dtype),
               moment("average"),
               has_codes ? moment("square") : moment("square").square().mul(0.1),
               made("scales", scales).abs(),
               made("roots", scales).abs(),
               made_words(kName, count / 32).to(device),
               at::zeros({1}, at::TensorOptions().dtype(at::kLong)).add_(7).to(device),
               at::full({}, is_finite ? 0.5 : NAN, at::TensorOptions().dtype(dtype)).to(device),
               1e-2,
               0.9,
               0.999,
               1e-8,
               0.1,
               int64_t{3},
               int64_t{5},
               11 * kMomentBlock};
         }});
  };
  for (const int64_t blocks : {0, 1, 7, 131}) {
    for (const at::ScalarType kept : {at::kFloat, at::kBFloat16, at::kByte}) {
      add(blocks, at::kFloat, kept, /*is_finite=*/true, /*timed=*/false);
    }
    add(blocks, at::kDouble, at::kDouble, /*is_finite=*/true, /*timed=*/false);
  }
  for (const at::ScalarType kept : {at::kFloat, at::kBFloat16, at::kByte}) {
    add(3, at::kFloat, kept, /*is_finite=*/false, /*timed=*/false);
  }
  for (const at::ScalarType kept : {at::kFloat, at::kBFloat16, at::kByte}) {
    add(1 << 17, at::kFloat, kept, /*is_finite=*/true, /*timed=*/true);
  }
  return cases;
}

}  // namespace littlebit
