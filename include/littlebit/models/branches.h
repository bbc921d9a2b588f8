// Contexts with several continuations, as multiple-choice questions have them: each context is run
// once. Results do not depend on what else is in the call, but for the rounding of larger products.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "littlebit/models/decoder.h"

namespace littlebit {

// A context and what may follow it. Every branch stands right behind the context, and sees it and
// itself. Neither the context nor a branch is empty. The ids are the caller's.
struct BranchedSequence {
  std::span<const int32_t> context;
  std::vector<std::span<const int32_t>> branches;
};

// Tokens that are run for it: the context (several times where lengths differ that the rotation
// tables depend on) and all of a branch but the last token.
int64_t tokens_run(const ModelSpec& spec, const BranchedSequence& sequence);

// z [N, E], what the head reads (decoder.h): a row for each token of each branch, in the order of
// sequences, branches and tokens; the row predicts the token, so its logits are those of
// forward_full(context + branch) one position before it. Rotation tables are those of each branch's
// own run, context + branch without the last token. No padding, no autograd. InputError: an id
// outside the vocabulary, more positions than the model learned.
at::Tensor branch_predictions(const Decoder& decoder, std::span<const BranchedSequence> sequences);

}  // namespace littlebit
