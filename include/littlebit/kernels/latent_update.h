// AdamW on latents and their moments, and the new sign bits: the second pass of an update. Plain
// loops; no allocation, no threads of their own; safe to call from several threads on disjoint
// blocks. Computes in fp32.
#pragma once

#include <cstdint>

#include "littlebit/kernels/instructions.h"
#include "littlebit/kernels/moment_codes.h"

namespace littlebit {

// PyTorch's AdamW, bias-corrected, in the numbers that a step has in common.
struct AdamWNumbers {
  float keep;  // 1 - rate * weight decay
  float beta2;
  float fresh1, fresh2;  // 1 - beta1, 1 - beta2
  float step_size;       // rate / (1 - beta1^step)
  float root_divisor;    // sqrt(1 - beta2^step): divided by, as PyTorch does, to the same rounding
  float epsilon;
};

// Moments are float, bf16 (uint16_t) or codes of 8 bits (uint8_t, moment_codes.h: scales by block,
// null else). Gradients count as `*clip` times what they are; where that is not finite nothing
// changes. words: the signs of the latents as bits (signs.h); how many change is added to `flips`.
template <class Moment>
struct LatentUpdateJob {
  const float* gradients;
  float* latents;
  Moment* exp_avg;
  Moment* exp_avg_sq;
  float* average_scales;
  float* root_scales;
  uint32_t* words;
  int64_t* flips;
  const float* clip;
  int64_t blocks;        // of kMomentBlock latents
  uint64_t first_block;  // where they stand in the group: random numbers go by that
  MomentRandom random;
  AdamWNumbers numbers;
};

// Blocks [begin, end); returns how many signs changed, and leaves *flips alone.
int64_t move_latents(const LatentUpdateJob<float>& job, int64_t begin, int64_t end,
                     Instructions use = best_instructions());
int64_t move_latents(const LatentUpdateJob<uint16_t>& job, int64_t begin, int64_t end,
                     Instructions use = best_instructions());
int64_t move_latents(const LatentUpdateJob<uint8_t>& job, int64_t begin, int64_t end,
                     Instructions use = best_instructions());

}  // namespace littlebit
