// What the operations on interleaved signs have in common.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace littlebit {

inline const uint32_t* interleaved_words(const at::Tensor& words) {
  return reinterpret_cast<const uint32_t*>(words.const_data_ptr<int32_t>());
}

// The whole matrix by plain ATen operations.
at::Tensor plain_interleaved(const at::Tensor& words, int64_t rows, int64_t cols,
                             at::ScalarType dtype);

// Words of a case, whose bits beyond the matrix are 0, as the layout has them.
at::Tensor made_interleaved(int64_t rows, int64_t cols);

}  // namespace littlebit
