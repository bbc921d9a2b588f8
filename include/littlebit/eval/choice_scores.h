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
#include "littlebit/eval/choice_requests.h"
#include "littlebit/models/decoder.h"
#include "littlebit/tokenizer/tokenizer.h"

namespace littlebit {

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
