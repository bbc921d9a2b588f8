// The difference of two matrices over the squared norms of the second one's rows. Plain loops; no
// allocation, no threads of their own; safe to call from several threads on disjoint rows. Elements
// are float, the result may be stored as bfloat16 (uint16_t).
#pragma once

#include <cstdint>

#include "littlebit/kernels/instructions.h"

namespace littlebit {

// By rows of `cols`: direction = (a - b) / ||b||^2, and error[row] = ||a - b||^2 / ||b||^2. A norm
// below the smallest normal float counts as that.
template <class D>
struct RelativeRowDifferenceJob {
  const float* a;
  const float* b;
  D* direction;
  double* error;
  int64_t rows, cols;
};

void relative_difference_of_rows(const RelativeRowDifferenceJob<float>& job, int64_t row_begin,
                                 int64_t row_end, Instructions use = best_instructions());
void relative_difference_of_rows(const RelativeRowDifferenceJob<uint16_t>& job, int64_t row_begin,
                                 int64_t row_end, Instructions use = best_instructions());

}  // namespace littlebit
