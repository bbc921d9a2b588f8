// What the norms of rows share, whichever they are: the type that they give, and how their rows go
// to threads.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include <algorithm>

#include "ops/rows.h"

namespace littlebit {

inline at::ScalarType result_type(const at::Tensor& x, at::ScalarType dtype) {
  return x.scalar_type() == at::kDouble ? at::kDouble : dtype;
}

// Rows worth a thread of their own.
inline int64_t norm_grain(int64_t cols) {
  constexpr int64_t kNumbers = 1 << 14;
  return rows_per_thread(cols, kNumbers);
}

// run(row_begin, row_end).
template <class Job, class Run>
void on_threads_by_rows(const Job& job, const Run& run) {
  at::parallel_for(0, job.rows, norm_grain(job.cols), run);
}

// run(part_begin, part_end): whole parts, since gradients of weights are summed by part, whatever
// the number of threads.
template <class Job, class Run>
void on_threads_by_parts(const Job& job, const Run& run) {
  at::parallel_for(0, job.parts(), std::max<int64_t>(1, norm_grain(job.cols) / job.kRowsOfPart),
                   run);
}

}  // namespace littlebit
