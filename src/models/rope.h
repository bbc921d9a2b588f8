// Rotation tables, as Hugging Face's modeling_rope_utils computes them: fp32 throughout, so that
// the angles of far positions round alike.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>

#include "littlebit/models/model_spec.h"

namespace littlebit {

// cos and sin [positions, rotary_dim / 2] for positions 0 .. positions - 1 of a sequence of
// `length` tokens, scaled by the attention factor, fp32, on the CPU.
std::pair<at::Tensor, at::Tensor> rope_tables(const RopeSpec& rope, int64_t positions,
                                              int64_t length);

// Sequences whose lengths have the same value here rotate alike.
int64_t rope_regime(const RopeSpec& rope, int64_t length);

}  // namespace littlebit
