// Multiple-choice documents as the ids that a model scores, as lm-evaluation-harness 0.4.8 makes
// them (specs/zeroshot section 2).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "littlebit/eval/choice_documents.h"
#include "littlebit/models/model_spec.h"
#include "littlebit/tokenizer/tokenizer.h"

namespace littlebit {

// Ids of a context and of what follows it.
struct TokenPair {
  std::vector<int32_t> context, continuation;
};

// White space at the end of the context goes to the front of the continuation; the continuation's
// ids are cut from those of the whole text. An empty context is BOS, or EOS where there is no BOS.
// InputError (without a place) where one of both comes out without ids.
TokenPair encode_pair(const Tokenizer& tokenizer, std::string_view context,
                      std::string_view continuation, bool add_special_tokens);

// The harness adds special tokens for models whose type names gemma, and for no other.
bool harness_adds_special_tokens(const ModelSpec& spec);

// What is scored: the last `scored` of `ids` (at least one, and at least one in front of them).
struct ChoiceRequest {
  std::vector<int32_t> ids;
  int64_t scored = 0;
};

// A document ready for a model, whatever its weights.
struct EncodedDocument {
  int64_t gold = 0;
  std::vector<ChoiceRequest> choices;
  std::vector<int64_t> lengths;  // characters of each choice
  bool cut = false;              // whether a context lost ids in front
};

// Tokenises on all cores, with a progress line named `what`. More than max_length + 1 ids: those in
// front are dropped. InputError with the document's place: a continuation of more than max_length
// ids, and as encode_pair.
std::vector<EncodedDocument> encode_documents(std::span<const ChoiceDocument> documents,
                                              const Tokenizer& tokenizer, bool add_special_tokens,
                                              int64_t max_length, const std::string& what);

}  // namespace littlebit
