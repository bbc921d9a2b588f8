// Log-likelihoods of continuations, as lm-evaluation-harness 0.4.8 computes them (specs/zeroshot
// section 2), and what follows from them for multiple-choice documents.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "littlebit/eval/batch_sharing.h"
#include "littlebit/eval/batch_size.h"
#include "littlebit/eval/choice_task.h"
#include "littlebit/models/decoder.h"
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

struct ChoiceScore {
  double loglikelihood = 0;  // sum over the continuation's tokens, nats
  bool is_greedy = false;    // whether each of them is the likeliest of the vocabulary
};
using DocumentScores = std::vector<ChoiceScore>;  // by choice

// Scores of every document, in their order. Documents are run longest first, `batch_size` at a
// time; what a document's choices have in common in front is run once, choices that differ in the
// last token only are one run. Logits exist for a few rows at a time, log-softmax in fp32, sums in
// double. The batch changes scores by rounding only. `progress(done, total)` in documents, may be
// empty. NumericsError where a score is not finite; Error kStopped where a stop was requested.
std::vector<DocumentScores> score_choices(const Decoder& decoder,
                                          std::span<const EncodedDocument> documents,
                                          BatchSize batch_size,
                                          const std::function<void(int64_t, int64_t)>& progress,
                                          const BatchSharing& sharing = BatchSharing());

// The choice with the highest score, the first of equals; `normalised`: of score / length.
int64_t best_choice(const EncodedDocument& document, const DocumentScores& scores, bool normalised);

// sqrt(p (1 - p) / (n - 1)), the sample deviation of n outcomes 0 or 1 over sqrt(n); 0 for n = 1.
double accuracy_stderr(double accuracy, int64_t n);

}  // namespace littlebit
