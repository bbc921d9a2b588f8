// Perplexity per word and byte from rolling log-likelihoods, as lm-evaluation-harness 0.4.8 defines
// them: the protocol "rolling@2048".
//
// A document is tokenised without special tokens (Gemma: with its BOS in front) and every one of
// its tokens is predicted once, the first from the prefix token (BOS, or EOS where the tokenizer
// has no BOS). Windows hold `length` inputs; one predicts the tokens that follow its single token
// of context, the last one of a document, which is shorter, sees as much context as fits.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "littlebit/eval/batch_sharing.h"
#include "littlebit/eval/batch_size.h"
#include "littlebit/eval/results.h"
#include "littlebit/models/decoder.h"

namespace littlebit {

struct RollingDocument {
  std::vector<int32_t> ids;      // the prefix token, then the document
  int64_t words = 0, bytes = 0;  // what the sums are divided by
};

// Inputs [first, first + length) of a document's ids; the last `predicted` of them predict.
struct RollingWindow {
  int64_t first = 0, length = 0, predicted = 0;
};
std::vector<RollingWindow> rolling_windows(int64_t tokens, int64_t length);  // without the prefix

// The log-likelihood of each document, natural logarithm. `batch_size` windows per forward pass, 0:
// about 4096 tokens; `progress(done, total)` in windows, may be empty. Errors as chunk_perplexity.
std::vector<double> rolling_loglikelihoods(const Decoder& decoder,
                                           std::span<const RollingDocument> documents,
                                           int64_t length, BatchSize batch_size,
                                           const std::function<void(int64_t, int64_t)>& progress,
                                           const BatchSharing& sharing = BatchSharing());

// word_perplexity, byte_perplexity, bits_per_byte over all documents; counts documents, tokens,
// words and bytes.
TaskResult rolling_result(std::span<const RollingDocument> documents,
                          std::span<const double> loglikelihoods, int64_t length);

}  // namespace littlebit
