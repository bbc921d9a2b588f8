// Plain ATen forms of the transformer's operations. Memory is overwritten only where autograd keeps
// no reference to it: the tensor is made here (or handed over by contract) and does not require
// gradients.
#include "littlebit/nn/functional.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <limits>

#include "littlebit/core/error.h"

namespace littlebit {
namespace {

at::ScalarType accumulate_type(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

// True where x's memory may be reused for a result: no backward pass will read it.
bool disposable(const at::Tensor& x) { return !(c10::GradMode::is_enabled() && x.requires_grad()); }

// Scores in full, for what the fused kernels do not know: soft caps.
at::Tensor softcapped_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                double scale, double softcap, const at::Tensor& mask) {
  const int64_t batch = q.size(0), heads = k.size(1), length = q.size(2), group = q.size(1) / heads;
  const at::Tensor grouped = q.reshape({batch, heads, group * length, q.size(3)});
  at::Tensor scores = at::matmul(grouped, k.transpose(2, 3)).to(accumulate_type(q));
  scores = at::tanh(scores * (scale / softcap)) * softcap;
  scores = scores.view({batch, heads, group, length, length}) + mask;
  const at::Tensor weights = at::softmax(scores, -1).to(v.scalar_type());
  return at::matmul(weights.view({batch, heads, group * length, length}), v)
      .view({batch, heads * group, length, v.size(3)});
}

}  // namespace

at::Tensor activate(const at::Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::kSilu:
      return at::silu(x);
    case Activation::kGelu:
      return at::gelu(x);
    case Activation::kGeluTanh:
      return at::gelu(x, "tanh");
    case Activation::kRelu:
      return at::relu(x);
  }
  LB_ASSERT(false, "unknown activation");
}

at::Tensor activate_gated(at::Tensor gate, const at::Tensor& up, Activation activation) {
  if (!disposable(gate)) return activate(gate, activation) * up;
  switch (activation) {
    case Activation::kSilu:
      at::silu_(gate);
      break;
    case Activation::kGelu:
      at::gelu_(gate);
      break;
    case Activation::kGeluTanh:
      at::gelu_(gate, "tanh");
      break;
    case Activation::kRelu:
      at::relu_(gate);
      break;
  }
  return disposable(up) ? gate.mul_(up) : gate * up;
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps, double offset) {
  const at::ScalarType type = accumulate_type(x);
  const at::Tensor wide = x.to(type);
  at::Tensor y = wide * at::rsqrt(at::mean(wide * wide, -1, /*keepdim=*/true) + eps);
  at::Tensor scale = weight.to(type);
  if (offset != 0) scale = scale + offset;
  y = disposable(scale) ? y.mul_(scale) : y * scale;
  return y.to(x.scalar_type());
}

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                      double eps) {
  const at::ScalarType type = accumulate_type(x);
  return at::layer_norm(x.to(type), {x.size(-1)}, weight.to(type), bias.to(type), eps)
      .to(x.scalar_type());
}

at::Tensor rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  const int64_t half = cos.size(-1), size = x.size(-1);
  const at::ScalarType type = accumulate_type(x);
  const at::Tensor first = x.narrow(-1, 0, half).to(type);
  const at::Tensor second = x.narrow(-1, half, half).to(type);
  std::vector<at::Tensor> parts = {at::addcmul(first * cos, second, sin, -1),
                                   at::addcmul(second * cos, first, sin)};
  if (2 * half < size) parts.push_back(x.narrow(-1, 2 * half, size - 2 * half).to(type));
  return at::cat(parts, -1).to(x.scalar_type());
}

at::Tensor causal_mask(int64_t length, int64_t window, at::ScalarType dtype, at::Device device) {
  const auto options = at::TensorOptions().dtype(at::kBool).device(device);
  at::Tensor visible = at::ones({length, length}, options).tril();
  if (window > 0) visible = visible.triu(1 - window);
  return at::zeros({length, length}, options.dtype(dtype))
      .masked_fill_(visible.logical_not_(), -std::numeric_limits<double>::infinity());
}

at::Tensor causal_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            double scale, int64_t window, double softcap, const at::Tensor& mask) {
  const int64_t length = q.size(2);
  const bool windowed = window > 0 && window < length;
  at::Tensor added;
  if (windowed || softcap > 0) {
    added = mask.defined()
                ? mask
                : causal_mask(length, windowed ? window : 0, q.scalar_type(), q.device());
  }
  if (softcap > 0) return softcapped_attention(q, k, v, scale, softcap, added);
  const std::optional<at::Tensor> attn_mask = windowed ? std::optional(added) : std::nullopt;
  return at::scaled_dot_product_attention(q, k, v, attn_mask, 0.0, /*is_causal=*/!windowed, scale,
                                          /*enable_gqa=*/q.size(1) != k.size(1));
}

}  // namespace littlebit
