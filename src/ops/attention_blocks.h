// Causal attention on the CPU, block by block: products by oneDNN's kernels for small blocks, what
// stands between them by room kernels.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "littlebit/kernels/attention.h"

namespace littlebit {

// All tensors in fp32, or all but the logarithms in bf16, with unit strides of the last dimension;
// shapes as ops/causal_attention.h has them. `y` is written.
void attend_by_blocks(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                      const AttentionRule& rule, const at::Tensor& y, const at::Tensor& log_sum);

// Writes dq, dk and dv; `d_log_sum` contiguous or undefined. The order of sums depends on the
// shapes alone.
void attention_gradients_by_blocks(const at::Tensor& dy, const at::Tensor& d_log_sum,
                                   const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                   const at::Tensor& y, const at::Tensor& log_sum,
                                   const AttentionRule& rule, const at::Tensor& dq,
                                   const at::Tensor& dk, const at::Tensor& dv);

// Bytes that it takes meanwhile, `dtype` being that of q, k and v.
double attention_gradient_scratch(int64_t batch, int64_t heads, int64_t kv_heads, int64_t length,
                                  int64_t size, at::ScalarType dtype);

// Whether bf16 of this head size is multiplied as such; else it is widened before.
bool attends_in_bf16(int64_t head_size);

}  // namespace littlebit
