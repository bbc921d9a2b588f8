// The choice of the next token.
#pragma once

#include <cstdint>

#include "littlebit/eval/generate.h"

namespace littlebit {

// The token drawn from logits [V] in fp32: temperature, then the top_k largest, then of those the
// most probable until their sum reaches top_p. A pure function of the arguments; equals: the lowest
// id. NumericsError where no logit is finite.
int32_t sample_token(const at::Tensor& logits, const GenerateOptions& options, uint64_t index);

}  // namespace littlebit
