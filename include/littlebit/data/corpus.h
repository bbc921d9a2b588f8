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

// The files of a source of data.train, sorted by name: its path itself, the files below a folder
// that have names of its format, or those that a glob (* ? [...]) fits. Says how many, where they
// are not one. InputError: an empty folder, a glob that fits nothing, an address, a name of the
// Hub. A path that does not exist is given as it is.
std::vector<std::filesystem::path> source_files(const SourceOptions& source);
bool source_exists(const SourceOptions& source);  // its path, or a file that its glob fits

// The ids behind each document of a text source (data.separator). UsageError: a text that becomes
// no token.
std::vector<int32_t> separator_ids(const DataOptions& options, const Tokenizer& tokenizer);

// Calls sink(document) for each document of a text source, in order; the view holds during the
// call. kText, kWikitext: the whole file; kLines: lines that are not blank, without their end;
// kJsonl: the field of each record. kParquet: a column's text of each row. A name ending in .gz or
// .zst is unpacked, line ends become "\n" and a byte order mark is skipped (text.h), NUL bytes are
// kept. Not for kTokens. InputError: missing,
// truncated or damaged compression, a file of another kind than its name or format says, not UTF-8
// (file, offset), a record that is not a JSON object or lacks the field (file, line), Parquet where
// its library is not there, a document beyond 2 GiB, nothing but white space in the whole file.
// Warns of jsonl that is read as text, and of a known text that is not whole.
void for_each_document(const SourceOptions& source,
                       const std::function<void(std::string_view)>& sink);

// What `auto` means for a file of this name; other formats stand.
SourceFormat settled_format(const SourceOptions& source);

// What for_each_document or a token file would refuse in the first bytes of a source, without
// reading the whole: InputError as there. `source` is one file.
void look_at_source(const SourceOptions& source, int64_t sequence_length,
                    BadRecord on_bad_record = BadRecord::kFail);

// A warning where a file of WikiText of this name has more or fewer lines than the data set's.
void warn_unless_whole_wikitext(const std::filesystem::path& file, std::string_view text);

// InputError with the one line that turns this Parquet file into the file `jsonl` (empty: of its
// name, beside it). Thrown by itself where a text source is one.
[[noreturn]] void refuse_parquet(const std::filesystem::path& file,
                                 std::filesystem::path jsonl = {});

// The WikiText rows of `text` (lines with their "\n", white-space-only lines as "") joined by
// "\n\n": specs section 8.
std::string join_wikitext_rows(std::string_view text);

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

// Which block stands at place i of the endless stream, epoch after epoch: a pure function of (seed,
// epoch, index), O(1).
class Sampler {
 public:
  Sampler(int64_t num_blocks, uint64_t seed, bool shuffle);
  int64_t block_at(int64_t place) const;  // place >= 0; epoch = place / num_blocks

 private:
  int64_t num_blocks_;
  uint64_t seed_;
  bool shuffle_;
};

}  // namespace littlebit
