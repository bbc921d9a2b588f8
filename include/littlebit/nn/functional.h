// Transformer operations as plain ATen functions of their inputs: differentiable, device- and
// dtype-agnostic, stateless. Shapes: B batch, T positions, H hidden size, N query heads, K
// key/value heads, D head size. Norms and rotations compute in fp32 (fp64 for fp64 input) and
// return the dtype named per function.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

namespace littlebit {

enum class Activation { kSilu, kGelu, kGeluTanh, kRelu };

at::Tensor activate(const at::Tensor& x, Activation activation);

// activate(gate) * up, overwriting `gate` where autograd does not need it: pass a tensor that
// nobody else reads.
at::Tensor activate_gated(at::Tensor gate, const at::Tensor& up, Activation activation);

// x * rsqrt(mean(x^2) + eps) * (weight + offset) over the last dimension; returns x's dtype.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps, double offset);
at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                      double eps);

// Rotates the first 2 * cos.size(-1) of D dimensions pairwise, Hugging Face's half-split
// convention: x [B, n, T, D], cos/sin [T, D_rot / 2] in fp32 (fp64). Returns x's dtype.
at::Tensor rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin);

// What causal_attention adds to scores so that a position sees itself and what lies before it, at
// most the window - 1 positions next to it where window > 0. It depends on the arguments only; its
// layout is causal_attention's own business. Undefined where causal_attention needs none.
at::Tensor causal_band(int64_t length, int64_t window, double softcap, at::ScalarType dtype,
                       at::Device device);

// Causal attention. q [B, N, T, D], k/v [B, K, T, D], N a multiple of K. window > 0: a position
// sees itself and the window - 1 before it. softcap > 0: scores become softcap * tanh(scores /
// softcap). Returns [B, N, T, D]. `band`: causal_band(T, window, softcap) in q's dtype where the
// caller has it at hand.
at::Tensor causal_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            double scale, int64_t window, double softcap,
                            const at::Tensor& band = {});

// Attention of q [B, N, T, D] to any keys k/v [B, K, S, D]: `mask` [T, S] in q's dtype is added to
// the scores, 0 where a query sees a key and -inf where not (at least one key each); undefined:
// every query sees every key. Returns [B, N, T, D].
at::Tensor masked_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            double scale, double softcap, const at::Tensor& mask);

}  // namespace littlebit
