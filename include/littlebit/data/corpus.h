// From text files to blocks of token ids, and the order in which training sees them.
//
// Specs section 6. Each document is tokenised on its own with the tokenizer's usual special tokens.
// A source becomes a token file in the cache (docs/formats.md: versioned, keyed by content,
// tokenizer and format), mapped on later runs. Blocks are [sequence_length] int32 slices; the
// remainder that fills no block is dropped: per pass over a source with `contiguous` blocking, per
// group of 1000 documents running across the sources in order with `reference`. A Corpus and a
// Sampler may be read from several threads at once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "littlebit/data/options.h"
#include "littlebit/tokenizer/tokenizer.h"

namespace littlebit {

// The blocks of one epoch, unshuffled.
class Corpus {
 public:
  // Tokenises (or maps from the cache) every source. `tokenizer` may be null where all sources are
  // `tokens`. Ids are checked against `vocab_size`: an id outside is an InputError (exit 3) naming
  // source and position; a tokenizer that can give ids beyond the model is a UsageError (exit 2).
  // Fewer tokens than one block: InputError.
  // Of several processes with one cache, one tokenises and the others wait (tokenize_source).
  static Corpus build(const DataOptions& options, const Tokenizer* tokenizer, int64_t vocab_size,
                      const std::filesystem::path& cache_dir, int threads);
  Corpus(Corpus&&) noexcept;
  ~Corpus();

  int64_t num_blocks() const;  // per epoch
  int64_t sequence_length() const;
  void copy_block(int64_t index, std::span<int32_t> out) const;  // index in [0, num_blocks())
  int64_t num_tokens() const;  // tokens in the sources, before blocking
  std::string content_hash()
      const;  // of what decides the blocks: for run.json and the resume check

 private:
  struct State;
  explicit Corpus(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace littlebit
