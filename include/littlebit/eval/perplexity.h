// Perplexity by the protocols of specs section 8. Every number carries its protocol's name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "littlebit/models/decoder.h"
#include "littlebit/tokenizer/tokenizer.h"

namespace littlebit {

struct PerplexityResult {
  std::string protocol;   // "concatenated_chunks@2048"
  double perplexity = 0;  // exp(nll)
  double nll =
      0;  // mean over chunks of the mean cross-entropy of a chunk's seqlen - 1 predictions, nats
  int64_t tokens = 0;  // tokens of the chunks scored
  int64_t chunks = 0;
  double seconds = 0;
};

struct PerplexityOptions {
  int64_t sequence_length = 2048;
  int64_t limit = 0;  // chunks; 0: all
  int64_t batch_size =
      0;  // chunks per forward; 0: as many as fit into about 4096 tokens, at least 1
};

// Non-overlapping chunks of `ids`, the remainder dropped, each run alone. Logits of at most 1024
// rows exist at a time. `progress(done, total)` in chunks, may be empty. InputError where ids hold
// less than one chunk; Error kStopped where a stop was requested.
PerplexityResult chunk_perplexity(const Decoder& decoder, std::span<const int32_t> ids,
                                  const PerplexityOptions& options,
                                  const std::function<void(int64_t, int64_t)>& progress);

// WikiText-2 raw test: DATA_ROOT/wikitext2/wiki.test.raw or DATA_ROOT/wiki.test.raw, rows joined,
// tokenised as a whole with special tokens. InputError naming the places looked at and where people
// get the file.
std::vector<int32_t> wikitext2_ids(const std::filesystem::path& data_root,
                                   const Tokenizer& tokenizer);

// A text file as one document, tokenised as a whole with special tokens.
std::vector<int32_t> text_ids(const std::filesystem::path& file, const Tokenizer& tokenizer);

// UsageError where the tokenizer can give ids the model has no embedding for.
void check_vocabulary(const Tokenizer& tokenizer, const ModelSpec& spec);

}  // namespace littlebit
