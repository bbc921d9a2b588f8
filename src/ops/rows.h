// Tensors as the rows of a product, the shape of what comes back, and how rows are given to
// threads.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace littlebit {

// [..., k] -> [rows, k].
inline at::Tensor rows_of(const at::Tensor& t) { return t.reshape({-1, t.size(-1)}); }

// The sizes of `like` with another last one.
inline std::vector<int64_t> with_last(const at::Tensor& like, int64_t last) {
  std::vector<int64_t> shape = like.sizes().vec();
  shape.back() = last;
  return shape;
}

// Rows worth a thread of their own, where that many numbers are.
inline int64_t rows_per_thread(int64_t cols, int64_t numbers) {
  return std::max<int64_t>(1, numbers / std::max<int64_t>(1, cols));
}

}  // namespace littlebit
