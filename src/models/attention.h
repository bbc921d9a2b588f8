// The attention of one block: projections, head norms, rotation, who sees whom.
#pragma once

#include <ATen/core/Tensor.h>

#include <initializer_list>
#include <vector>

#include "littlebit/models/decoder.h"
#include "littlebit/models/incremental.h"

namespace littlebit {

at::Tensor run(const LinearSlot& slot, const at::Tensor& x);  // LB_ASSERT: the slot is filled
// Of several slots that read the same x.
std::vector<at::Tensor> run_beside(std::initializer_list<const LinearSlot*> slots,
                                   const at::Tensor& x);

// h [B, T, H] in the compute dtype -> [B, T, H] in the compute dtype. `cache`: nullptr, or what
// Decoder::block_forward says.
at::Tensor attention(const Block& block, const ModelSpec& spec, int64_t layer, const at::Tensor& h,
                     const SequenceContext& context, KeyValueCache* cache);

}  // namespace littlebit
