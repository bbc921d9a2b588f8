// Plain ATen forms of the transformer's operations. Memory is overwritten only where autograd keeps
// no reference to it: the tensor is made here (or handed over by contract) and does not require
// gradients.
#include "littlebit/nn/functional.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <limits>

#include "littlebit/core/error.h"
#include "littlebit/device/device.h"
#include "littlebit/ops/causal_attention.h"
#include "littlebit/ops/gated_activation.h"
#include "littlebit/ops/layer_norm.h"
#include "littlebit/ops/rms_norm.h"
#include "littlebit/ops/rotary.h"
#include "nn/attention_chunks.h"

namespace littlebit {
namespace {

at::ScalarType accumulate_type(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

// True where x's memory may be reused for a result: no backward pass will read it.
bool disposable(const at::Tensor& x) { return !(c10::GradMode::is_enabled() && x.requires_grad()); }

// Attention of one chunk: q [B, N, C, D] against the keys [B, K, S, D] that it may look at.
using ChunkAttention = at::Tensor (*)(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                      double scale, double softcap, const at::Tensor& mask);

// [B, K, S, D], each of the heads as often as queries have heads for it.
at::Tensor repeated(const at::Tensor& x, int64_t heads) {
  return x.unsqueeze(2)
      .expand({x.size(0), x.size(1), heads / x.size(1), x.size(2), x.size(3)})
      .reshape({x.size(0), heads, x.size(2), x.size(3)});
}

// ATen's. Elsewhere than on the CPU the kernels that take a mask, or fp32, do not group heads:
// where ATen grouped them itself, it would make all scores.
at::Tensor fused_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           double scale, bool is_causal, const at::Tensor& mask) {
  const std::optional<at::Tensor> added = mask.defined() ? std::optional(mask) : std::nullopt;
  const bool is_grouped = q.size(1) != k.size(1);
  const bool is_narrow = q.scalar_type() == at::kBFloat16 || q.scalar_type() == at::kHalf;
  if (is_grouped && !device_traits(q.device()).is_host && (mask.defined() || !is_narrow)) {
    return at::scaled_dot_product_attention(q, repeated(k, q.size(1)), repeated(v, q.size(1)),
                                            added, 0.0, is_causal, scale);
  }
  return at::scaled_dot_product_attention(q, k, v, added, 0.0, is_causal, scale,
                                          /*enable_gqa=*/is_grouped);
}

at::Tensor chunk_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           double scale, double /*softcap*/, const at::Tensor& mask) {
  return fused_attention(q, k, v, scale, /*is_causal=*/false, mask);
}

// Scores in full, for what the fused kernels do not know: soft caps.
at::Tensor softcapped_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                double scale, double softcap, const at::Tensor& mask) {
  const int64_t batch = q.size(0), heads = k.size(1), group = q.size(1) / heads;
  const int64_t queries = q.size(2), keys = k.size(2);
  const at::Tensor grouped = q.reshape({batch, heads, group * queries, q.size(3)});
  at::Tensor scores = at::matmul(grouped, k.transpose(2, 3)).to(accumulate_type(q));
  scores = at::tanh(scores * (scale / softcap)) * softcap;
  scores = scores.view({batch, heads, group, queries, keys});
  if (mask.defined()) scores = scores + mask;
  const at::Tensor weights = at::softmax(scores, -1).to(v.scalar_type());
  return at::matmul(weights.view({batch, heads, group * queries, keys}), v)
      .view({batch, heads * group, queries, v.size(3)});
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
  switch (activation) {
    case Activation::kSilu:
      return gated_activation(gate, up, GateKind::kSilu);
    case Activation::kGeluTanh:
      return gated_activation(gate, up, GateKind::kGeluTanh);
    case Activation::kRelu:
      return gated_activation(gate, up, GateKind::kRelu);
    case Activation::kGelu:
      break;
  }
  if (!disposable(gate)) return at::gelu(gate) * up;
  at::gelu_(gate);
  return disposable(up) ? gate.mul_(up) : gate * up;
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps, double offset) {
  return rms_norm_to(x.scalar_type(), x, weight, eps, offset);
}

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                      double eps) {
  return layer_norm_to(x.scalar_type(), x, weight, bias, eps);
}

at::Tensor rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  return Rotary::call(x, cos, sin);
}

// [C, S]: the last row is the last query of a chunk, the last column its own position.
at::Tensor causal_band(int64_t length, int64_t window, double softcap, at::ScalarType dtype,
                       at::Device device) {
  if (window >= length) window = 0;
  if (CausalAttention::is_blocked(dtype, device)) return {};
  if (one_call(length, window, softcap, device)) return {};
  const int64_t queries = chunk_size(length, window);
  const int64_t keys = window > 0 ? std::min(length, queries + window - 1) : length;
  const auto options = at::TensorOptions().dtype(at::kBool).device(device);
  at::Tensor visible = at::ones({queries, keys}, options).tril(keys - queries);
  if (window > 0) visible = visible.triu(keys - queries - window + 1);
  return at::zeros({queries, keys}, options.dtype(dtype))
      .masked_fill_(visible.logical_not_(), -std::numeric_limits<double>::infinity());
}

at::Tensor causal_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            double scale, int64_t window, double softcap, const at::Tensor& band) {
  const int64_t length = q.size(2);
  if (window >= length) window = 0;
  if (CausalAttention::is_blocked(q.scalar_type(), q.device())) {
    return std::get<0>(CausalAttention::call(q, k, v, scale, window, softcap));
  }
  if (one_call(length, window, softcap, q.device())) {
    return fused_attention(q, k, v, scale, /*is_causal=*/true, {});
  }
  if (window > 0 && CausalAttention::is_flash(q, softcap)) {
    return std::get<0>(CausalAttention::call(q, k, v, scale, window, softcap));
  }
  const ChunkAttention attend = softcap > 0 ? softcapped_attention : chunk_attention;
  const at::Tensor masks =
      band.defined() ? band : causal_band(length, window, softcap, q.scalar_type(), q.device());
  std::vector<at::Tensor> parts;
  int64_t begin = 0;
  for (const at::Tensor& part : q.split(chunk_size(length, window), 2)) {
    const int64_t queries = part.size(2), end = begin + queries;
    const int64_t first = window > 0 ? std::max<int64_t>(0, begin - window + 1) : 0;
    const int64_t keys = end - first;
    const at::Tensor mask =
        masks.narrow(0, masks.size(0) - queries, queries).narrow(1, masks.size(1) - keys, keys);
    parts.push_back(
        attend(part, k.narrow(2, first, keys), v.narrow(2, first, keys), scale, softcap, mask)
            .transpose(1, 2));
    begin = end;
  }
  return at::cat(parts, 1).transpose(1, 2);
}

at::Tensor masked_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            double scale, double softcap, const at::Tensor& mask) {
  const ChunkAttention attend = softcap > 0 ? softcapped_attention : chunk_attention;
  return attend(q, k, v, scale, softcap, mask);
}

}  // namespace littlebit
