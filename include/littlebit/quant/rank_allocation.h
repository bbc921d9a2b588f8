// Ranks by layer under the bits of one plan for all: more where compression does the most harm.
#pragma once

#include <span>
#include <vector>

#include "littlebit/quant/bit_budget.h"

namespace littlebit {

// `plans` are those of the same bits for every layer, harm[i] >= 0 is how much the model's loss
// rises where layer i alone is compressed as planned (finite, in any unit). The result has ranks
// between half and twice the planned ones, in steps of 8. Together they take no more bits by the
// paper's formula than `plans`, and as stored no more than `plans` or than
// options.bits_per_weight, whichever is more; what less than a step leaves over stays unspent. A
// planned rank that is no multiple of 8 stays. Ranks are at least options.min_rank and at most the
// matrix's smaller side.
std::vector<LayerPlan> allocate_ranks(std::span<const LayerPlan> plans,
                                      std::span<const double> harm, const QuantOptions& options);

}  // namespace littlebit
