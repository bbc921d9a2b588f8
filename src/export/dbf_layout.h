// The layout of OneCompression's plugin for double binary factors (docs/formats.md): how ranks
// follow from bits, and how signs lie.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "littlebit/quant/littlebit_linear.h"

namespace littlebit {

// The rank that the plugin takes for a layer of so many bits per weight.
int64_t dbf_rank(double bits, int64_t d_in, int64_t d_out);

// Bits by which every one of the layers, which are run as one, gets its rank or more.
double dbf_bits(std::span<const LittleBitLinear* const> layers);

// Which layers of a block are run as one: of the same key. "self_attn.q_proj" as the argument.
std::string dbf_shard(const std::string& module);

// uint8: the bits of a matrix [rows, cols], row after row without gaps, the first in a byte's
// highest bit, 1 = +1. What `signs` has not is +1, as are the last byte's bits beyond.
at::Tensor dbf_signs(const SignMatrix& signs, int64_t rows, int64_t cols);

// The three vectors of y = (((x * in) V^T) * middle U^T) * out, the same product as the path's.
// Powers of two between them: |in| is about 1 / sqrt(d_in) and |out| about 1 on the average, so
// that numbers on the way are of the size of inputs and outputs, which fp16 holds.
struct DbfScales {
  at::Tensor in, middle, out;  // fp32
};
DbfScales dbf_scales(const SignPath& path);

}  // namespace littlebit
