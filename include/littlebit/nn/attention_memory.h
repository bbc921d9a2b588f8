// What attention takes in training, for estimates.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace littlebit {

// What causal_attention holds with autograd, in bytes: `kept` between forward and backward, with q,
// k, v (or the copies that are kept instead) and its result; `backward` beside that at the worst
// moment of its backward pass, with the gradients of its result and of q, k, v. For q, k, v whose
// heads lie side by side, [B, T, n, D] in memory; counted, not measured, where the device is not
// the CPU.
struct AttentionShape {
  int64_t sequences, length, heads, kv_heads, head_dim;
  int64_t window = 0;  // as causal_attention's
  double softcap = 0;
  at::ScalarType dtype = at::kFloat;
  at::Device device = at::kCPU;
};
struct AttentionMemory {
  double kept = 0, backward = 0;
};
AttentionMemory attention_memory(const AttentionShape& of);

}  // namespace littlebit
