// fp32 products by bf16 tiles: a processor that multiplies tiles of bf16 (AMX) does so some eight
// times as fast as it multiplies fp32. An fp32 number is the exact sum of three in bf16 (kernels/
// split_rows.h), and a product of two bf16 is exact in fp32. So the product of fp32 by a matrix
// that is exact in bf16 (signs, weights stored so) is that of three bf16 products whose sums run
// over fp32: no less accurate than an fp32 product, since less is rounded.
#pragma once

#include <ATen/core/Tensor.h>

namespace littlebit {

// Whether this processor has tiles, and LibTorch's library uses them.
bool has_split_products();

struct SplitProduct {
  const at::Tensor& a;                   // [m, k], fp32 (split) or bf16 (as it is)
  const at::Tensor& b;                   // [n, k], bf16
  const at::Tensor& y;                   // [m, n] with unit stride of the columns, fp32
  const at::Tensor* in_scale = nullptr;  // [k], fp32, contiguous: a's columns times this; a in fp32
  const at::Tensor* out_scale = nullptr;  // [n], fp32, contiguous: y's columns times this
  bool adds = false;                      // to what is in y
};
// y = ((a * in_scale) b^T) * out_scale. a with contiguous rows, b with contiguous rows or columns,
// else they are copied. At most 16 MiB of memory beside what a thread needs. The order of sums
// depends on the shapes alone. Only where has_split_products(); no gradients.
void split_product(const SplitProduct& product);

}  // namespace littlebit
