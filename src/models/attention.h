// The attention of one block: projections, head norms, rotation, who sees whom.
#pragma once

#include <ATen/core/Tensor.h>

#include "littlebit/models/decoder.h"
#include "littlebit/models/incremental.h"

namespace littlebit {

at::Tensor run(const LinearSlot& slot, const at::Tensor& x);  // LB_ASSERT: the slot is filled

// h [B, T, H] in the compute dtype -> [B, T, H] in the compute dtype. `cache`: nullptr, or what
// Decoder::block_forward says.
at::Tensor attention(const Block& block, const ModelSpec& spec, int64_t layer, const at::Tensor& h,
                     const SequenceContext& context, KeyValueCache* cache);

}  // namespace littlebit
