// The KL divergence of rows of logits and its derivative. Plain loops; no allocation, no threads of
// their own; safe to call from several threads on disjoint rows. Computes in fp32, sums of a row in
// fp64.
#pragma once

#include <cstdint>

#include "littlebit/kernels/instructions.h"

namespace littlebit {

// Of each row: loss = sum over p (log p - log q), p and q the softmax of teacher and student, whose
// logits x count as softcap * tanh(x / softcap) where softcap > 0; d_student = scale * the
// derivative by the student's logits.
struct KlRowsJob {
  const float* teacher;
  const float* student;
  double* loss;
  float* d_student;  // or null; may be `student` itself
  int64_t rows, cols;
  float softcap, scale;
};

void kl_rows(const KlRowsJob& job, int64_t row_begin, int64_t row_end,
             Instructions use = best_instructions());

}  // namespace littlebit
