// The texts of the perplexity protocols as token ids (specs section 8), tokenised with the special
// tokens that the tokenizer puts around a text. InputError naming the places looked at and where
// people get a file that is missing.
#pragma once

#include <cstdint>
#include <vector>

#include "littlebit/eval/tasks.h"

namespace littlebit {

// WikiText-2 raw test: DATA_ROOT/wikitext2/wiki.test.raw or DATA_ROOT/wiki.test.raw, rows joined,
// tokenised as a whole.
std::vector<int32_t> wikitext2_ids(const TaskInput& input, int64_t sequence_length);

// eval.text as one document, tokenised as a whole.
std::vector<int32_t> text_ids(const TaskInput& input, int64_t sequence_length);

}  // namespace littlebit
