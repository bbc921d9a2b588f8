// Gradients of signs made into gradients of latents, and the square of their norm: the first pass
// of an update. Plain loops; no allocation, no threads of their own; safe to call from several
// threads on disjoint parts. Computes in fp32, sums of a part in fp64.
#pragma once

#include <cstdint>

#include "littlebit/kernels/instructions.h"

namespace littlebit {

// gradients *= d sign / d latent (specs section 2): 100 (1 - tanh(100 x)^2) where `smooth`, else 1
// within (-1, 1) and 0 outside. partial[p] = the sum of the squares over part p. Parts have kPart
// numbers: their sums do not depend on who does them.
struct LatentGradientJob {
  static constexpr int64_t kPart = 1 << 14;
  static constexpr float kSlope = 100;
  float* gradients;
  const float* latents;
  double* partial;
  int64_t count;
  bool smooth;

  int64_t parts() const { return (count + kPart - 1) / kPart; }
};

void make_latent_gradients(const LatentGradientJob& job, int64_t part_begin, int64_t part_end,
                           Instructions use = best_instructions());

}  // namespace littlebit
