// The difference of two buffers and its squared norm. Plain loops; no allocation, no threads of
// their own; safe to call from several threads on disjoint parts. Elements are float, the
// difference may be stored as bfloat16 (uint16_t).
#pragma once

#include <cstdint>

#include "littlebit/kernels/instructions.h"

namespace littlebit {

// difference = a - b; partial[p] = the sum of its squares, before they are rounded, over part p.
// Parts have kPart numbers: their sums do not depend on who does them.
template <class D>
struct SquaredDifferenceJob {
  static constexpr int64_t kPart = 1 << 14;
  const float* a;
  const float* b;
  D* difference;
  double* partial;
  int64_t count;

  int64_t parts() const { return (count + kPart - 1) / kPart; }
};

void square_difference(const SquaredDifferenceJob<float>& job, int64_t part_begin, int64_t part_end,
                       Instructions use = best_instructions());
void square_difference(const SquaredDifferenceJob<uint16_t>& job, int64_t part_begin,
                       int64_t part_end, Instructions use = best_instructions());

}  // namespace littlebit
