// Inverse frequencies and tables of the RoPE kinds, each computed in fp32 with Hugging Face's
// operations in their order.
#include "rope.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace littlebit {
namespace {

// theta^(2i / rotary_dim)
at::Tensor wave_scales(double theta, int64_t rotary_dim) {
  const at::Tensor exponents =
      at::arange(0, rotary_dim, 2, at::kFloat) / static_cast<double>(rotary_dim);
  return at::pow(at::Scalar(theta), exponents);
}

// A larger base for sequences beyond the length of training.
double dynamic_theta(const RopeSpec& rope, int64_t length) {
  const auto trained = static_cast<double>(rope.original_max_positions);
  const double stretch = std::max(static_cast<double>(length), trained) / trained;
  const auto size = static_cast<double>(rope.rotary_dim);
  return rope.theta * std::pow(rope.factor * stretch - (rope.factor - 1), size / (size - 2));
}

// Long waves are stretched by the factor, short ones kept, those between blended.
at::Tensor llama3_frequencies(const RopeSpec& rope, const at::Tensor& plain) {
  const auto trained = static_cast<double>(rope.original_max_positions);
  const at::Tensor wavelength = (2 * std::numbers::pi) / plain;
  const at::Tensor blend = (trained / wavelength - rope.low_freq_factor) /
                           (rope.high_freq_factor - rope.low_freq_factor);
  const at::Tensor blended = (1 - blend) * plain / rope.factor + blend * plain;
  const at::Tensor is_long = wavelength > trained / rope.low_freq_factor;
  const at::Tensor is_short = wavelength < trained / rope.high_freq_factor;
  return at::where(is_long, plain / rope.factor, at::where(is_short, plain, blended));
}

at::Tensor frequencies(const RopeSpec& rope, int64_t length) {
  const at::Tensor scales = wave_scales(rope.theta, rope.rotary_dim);
  switch (rope.kind) {
    case RopeKind::kNone:
    case RopeKind::kDefault:
      break;
    case RopeKind::kLinear:
      return (1.0 / scales) / rope.factor;
    case RopeKind::kDynamic:
      return 1.0 / wave_scales(dynamic_theta(rope, length), rope.rotary_dim);
    case RopeKind::kLlama3:
      return llama3_frequencies(rope, 1.0 / scales);
    case RopeKind::kLongrope: {
      const bool is_long = length > rope.original_max_positions;
      return 1.0 /
             (at::tensor(is_long ? rope.long_factor : rope.short_factor, at::kFloat) * scales);
    }
  }
  return 1.0 / scales;
}

}  // namespace

int64_t rope_regime(const RopeSpec& rope, int64_t length) {
  switch (rope.kind) {
    case RopeKind::kDynamic:
      return std::max(length, rope.original_max_positions);
    case RopeKind::kLongrope:
      return length > rope.original_max_positions ? 1 : 0;
    default:
      return 0;
  }
}

std::pair<at::Tensor, at::Tensor> rope_tables(const RopeSpec& rope, int64_t positions,
                                              int64_t length) {
  const at::Tensor angles = at::outer(at::arange(positions, at::kFloat), frequencies(rope, length));
  return {at::cos(angles) * rope.attention_factor, at::sin(angles) * rope.attention_factor};
}

}  // namespace littlebit
