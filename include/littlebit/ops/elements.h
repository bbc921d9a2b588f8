// Tensors as the kernels see them: pointers to elements, rows that lie one behind the other.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace littlebit {

// The elements of a contiguous tensor; those of bf16 are uint16_t to kernels.
template <class Element>
const Element* elements(const at::Tensor& tensor) {
  return static_cast<const Element*>(tensor.const_data_ptr());
}
template <class Element>
Element* mutable_elements(const at::Tensor& tensor) {
  return static_cast<Element*>(tensor.mutable_data_ptr());
}

// Of the last dimension; of no elements none.
inline int64_t num_rows(const at::Tensor& tensor) {
  return tensor.numel() == 0 ? 0 : tensor.numel() / tensor.size(-1);
}

// [rows, cols] with a unit stride of columns: a view where there is one.
inline at::Tensor as_rows_in_place(const at::Tensor& tensor) {
  const at::Tensor rows = tensor.reshape({num_rows(tensor), tensor.size(-1)});
  return rows.stride(1) == 1 || rows.size(1) == 1 ? rows : rows.contiguous();
}

}  // namespace littlebit
