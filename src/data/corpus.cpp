// The corpus of one run: its sources opened and checked, and the plan of blocks over them. Nothing
// is copied until a block is asked for.
//
//     data.train: entries -> files -> token files (cached by content) -> plan: blocks -> sampler
#include "littlebit/data/corpus.h"

#include <algorithm>
#include <optional>

#include "data/block_plan.h"
#include "data/token_source.h"
#include "littlebit/core/error.h"
#include "littlebit/core/hash.h"
#include "littlebit/core/strings.h"
#include "littlebit/data/documents.h"
#include "littlebit/data/separator.h"
#include "littlebit/data/source_files.h"
#include "littlebit/data/tokenize_source.h"
#include "littlebit/logging/console.h"

namespace littlebit {

// Tokens are mapped files, read when a block is asked for: a corpus takes no memory of its own for
// them.
struct Corpus::State {
  std::vector<TokenSource> sources;
  std::vector<bool> continues;  // whether a source is a further file of the same entry
  int64_t sequence_length;
  Blocking blocking;
  BlockPlan plan;
};

namespace {

void check_sources(const DataOptions& options, const Tokenizer* tokenizer, int64_t vocab_size) {
  LB_ASSERT(options.sequence_length > 0, "sequence_length is checked by its option");
  if (options.train.empty()) {
    throw UsageError("data.train is empty: no training text was given",
                     "give a file: data.train=FILE, or data.train='[{path: FILE, format: lines}]'");
  }
  for (size_t i = 0; i < options.train.size(); ++i) {
    const SourceOptions& source = options.train[i];
    if (source.path.empty()) {
      throw UsageError("data.train[" + std::to_string(i) + "].path is missing");
    }
    if (source.format == SourceFormat::kTokens) continue;
    LB_ASSERT(tokenizer != nullptr, "text sources need a tokenizer");
    check_vocabulary(*tokenizer, vocab_size);
  }
}

// The files of all sources in order, each as a source of its own.
std::vector<SourceOptions> all_files(const DataOptions& options, std::vector<bool>* continues) {
  std::vector<SourceOptions> files;
  for (const SourceOptions& source : options.train) {
    bool is_first = true;
    for (const std::filesystem::path& file : source_files(source)) {
      files.push_back(source);
      files.back().path = file;
      continues->push_back(!is_first);
      is_first = false;
    }
  }
  return files;
}

TokenFileOptions tokenize_options(const DataOptions& options, const Tokenizer* tokenizer) {
  TokenFileOptions result{.separator = {}, .on_bad_record = options.on_bad_record};
  const bool any_text = std::any_of(
      options.train.begin(), options.train.end(),
      [](const SourceOptions& source) { return source.format != SourceFormat::kTokens; });
  if (!any_text) return result;
  result.separator = separator_ids(options, *tokenizer);
  if (!result.separator.empty()) {
    log_info("after each document: " + tokenizer->decode(result.separator) +
             " (data.separator: " + options.separator + ")");
  }
  return result;
}

// Opens every file in order. Cheap checks of all of them come first: tokenising may take hours.
std::vector<TokenSource> open_sources(const DataOptions& options,
                                      const std::vector<SourceOptions>& files,
                                      const Tokenizer* tokenizer,
                                      const std::filesystem::path& cache_dir, int threads) {
  std::vector<std::optional<TokenSource>> opened(files.size());
  for (size_t i = 0; i < opened.size(); ++i) {
    const SourceOptions& source = files[i];
    if (source.format != SourceFormat::kTokens) {
      look_at_source(source, options.sequence_length, options.on_bad_record);
      continue;
    }
    opened[i] = TokenSource::open(source, options.sequence_length);
    if (options.blocking == Blocking::kReference && opened[i]->has_rows() && opened.size() > 1) {
      throw UsageError(source.path.string() +
                           ": rows of input_ids have no documents, which data.blocking: reference "
                           "counts across the sources",
                       "set data.blocking=contiguous, or give this source alone");
    }
  }
  const TokenFileOptions tokenize = tokenize_options(options, tokenizer);
  std::vector<TokenSource> sources;
  for (size_t i = 0; i < opened.size(); ++i) {
    const SourceOptions& source = files[i];
    if (!opened[i]) {
      opened[i].emplace(source, tokenize_source(source, *tokenizer, cache_dir, threads, tokenize));
    }
    sources.push_back(std::move(*opened[i]));
  }
  return sources;
}

BlockPlan make_plan(const std::vector<TokenSource>& sources, const std::vector<bool>& continues,
                    const DataOptions& options) {
  std::vector<PlannedSource> planned;
  for (size_t i = 0; i < sources.size(); ++i) {
    planned.push_back(
        {sources[i].num_tokens(), sources[i].document_starts(), sources[i].weight(), continues[i]});
  }
  // Rows of input_ids have no documents to group.
  if (options.blocking == Blocking::kReference && !sources.front().has_rows()) {
    return BlockPlan::reference(planned, options.sequence_length);
  }
  // Entries too short for a block would be dropped silently by the plan.
  for (size_t i = 0, end = 0; i < planned.size(); i = end) {
    int64_t tokens = 0;
    do {
      tokens += planned[end++].num_tokens;
    } while (end < planned.size() && continues[end]);
    const std::span alone(&planned[i], end - i);
    if (BlockPlan::contiguous(alone, options.sequence_length).num_blocks() == 0) {
      const std::string others =
          end - i > 1 ? " and " + std::to_string(end - i - 1) + " more files" : "";
      log_warning(sources[i].name() + others + ": " + format_count(tokens) +
                  " tokens at this weight fill no block of " +
                  format_count(options.sequence_length) + "; the source is not used");
    }
  }
  return BlockPlan::contiguous(planned, options.sequence_length);
}

}  // namespace

Corpus::Corpus(std::unique_ptr<State> state) : state_(std::move(state)) {}
Corpus::Corpus(Corpus&&) noexcept = default;
Corpus::~Corpus() = default;

Corpus Corpus::build(const DataOptions& options, const Tokenizer* tokenizer, int64_t vocab_size,
                     const std::filesystem::path& cache_dir, int threads) {
  check_sources(options, tokenizer, vocab_size);
  std::vector<bool> continues;
  const std::vector<SourceOptions> files = all_files(options, &continues);
  std::vector<TokenSource> sources = open_sources(options, files, tokenizer, cache_dir, threads);
  // An id beyond the embedding would be read from somewhere else in memory; checked once here,
  // never in a step.
  for (const TokenSource& source : sources) source.check_ids(vocab_size);
  BlockPlan plan = make_plan(sources, continues, options);
  Corpus corpus(std::make_unique<State>(State{.sources = std::move(sources),
                                              .continues = std::move(continues),
                                              .sequence_length = options.sequence_length,
                                              .blocking = options.blocking,
                                              .plan = std::move(plan)}));
  if (corpus.num_blocks() == 0) {
    const bool reduced = std::any_of(options.train.begin(), options.train.end(),
                                     [](const SourceOptions& source) { return source.weight < 1; });
    throw InputError("the training data fills no block: " + format_count(corpus.num_tokens()) +
                         " tokens in all" + (reduced ? " before the sources' weights" : "") +
                         ", data.sequence_length is " + format_count(options.sequence_length),
                     std::string("give more text") + (reduced ? ", larger weights" : "") +
                         ", or a smaller data.sequence_length");
  }
  return corpus;
}

int64_t Corpus::num_blocks() const { return state_->plan.num_blocks(); }

int64_t Corpus::sequence_length() const { return state_->sequence_length; }

void Corpus::copy_block(int64_t index, std::span<int32_t> out) const {
  LB_ASSERT(static_cast<int64_t>(out.size()) == state_->sequence_length, "a block is a whole one");
  state_->plan.for_each_stretch(index, [&](size_t source, int64_t first, int64_t count) {
    state_->sources[source].copy(first, out.first(static_cast<size_t>(count)));
    out = out.subspan(static_cast<size_t>(count));
  });
}

int64_t Corpus::num_tokens() const {
  int64_t tokens = 0;
  for (const TokenSource& source : state_->sources) tokens += source.num_tokens();
  return tokens;
}

// What decides the tokens of every block: contents, weights, order, length, blocking. Paths are not
// part of it, so data may be moved between a run and its resume.
std::string Corpus::content_hash() const {
  Hasher hasher;
  const bool is_reference = state_->blocking == Blocking::kReference;
  hasher.update(std::to_string(state_->sequence_length) + (is_reference ? " reference\n" : "\n"));
  for (size_t i = 0; i < state_->sources.size(); ++i) {
    const TokenSource& source = state_->sources[i];
    hasher.update(source.content_hash() + " " + format_digits(source.weight(), 17) +
                  (state_->continues[i] ? " goes on\n" : "\n"));
  }
  return hasher.hex();
}

}  // namespace littlebit
