// Tensors as the rows of a product, and the shape of what comes back.
#pragma once

#include <ATen/core/Tensor.h>

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

}  // namespace littlebit
