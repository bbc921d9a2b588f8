// The corpus of one run: its sources opened and checked, and the plan of blocks over them. Nothing
// is copied until a block is asked for.
#include "littlebit/data/corpus.h"

#include <algorithm>
#include <optional>

#include "data/block_plan.h"
#include "data/token_source.h"
#include "littlebit/core/error.h"
#include "littlebit/core/file.h"
#include "littlebit/core/hash.h"
#include "littlebit/core/strings.h"
#include "littlebit/logging/console.h"

namespace littlebit {

struct Corpus::State {
  std::vector<TokenSource> sources;
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

// Opens every source in order. Cheap checks of all of them come first: tokenising may take hours.
std::vector<TokenSource> open_sources(const DataOptions& options, const Tokenizer* tokenizer,
                                      const std::filesystem::path& cache_dir, int threads) {
  std::vector<std::optional<TokenSource>> opened(options.train.size());
  for (size_t i = 0; i < opened.size(); ++i) {
    const SourceOptions& source = options.train[i];
    if (source.format != SourceFormat::kTokens) {
      look_at_source(source, options.sequence_length);
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
  std::vector<TokenSource> sources;
  for (size_t i = 0; i < opened.size(); ++i) {
    const SourceOptions& source = options.train[i];
    if (!opened[i]) {
      opened[i].emplace(source, tokenize_source(source, *tokenizer, cache_dir, threads));
    }
    sources.push_back(std::move(*opened[i]));
  }
  return sources;
}

BlockPlan make_plan(const std::vector<TokenSource>& sources, const DataOptions& options) {
  std::vector<PlannedSource> planned;
  for (const TokenSource& source : sources) {
    planned.push_back({source.num_tokens(), source.document_starts(), source.weight()});
  }
  if (options.blocking == Blocking::kReference && !sources.front().has_rows()) {
    return BlockPlan::reference(planned, options.sequence_length);
  }
  for (size_t i = 0; i < planned.size(); ++i) {
    const std::span alone(&planned[i], 1);
    if (BlockPlan::contiguous(alone, options.sequence_length).num_blocks() == 0) {
      log_warning(sources[i].name() + ": " + format_count(sources[i].num_tokens()) +
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
  std::vector<TokenSource> sources = open_sources(options, tokenizer, cache_dir, threads);
  for (const TokenSource& source : sources) source.check_ids(vocab_size);
  BlockPlan plan = make_plan(sources, options);
  Corpus corpus(std::make_unique<State>(State{.sources = std::move(sources),
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

std::string Corpus::content_hash() const {
  Hasher hasher;
  const bool is_reference = state_->blocking == Blocking::kReference;
  hasher.update(std::to_string(state_->sequence_length) + (is_reference ? " reference\n" : "\n"));
  for (const TokenSource& source : state_->sources) {
    hasher.update(source.content_hash() + " " + format_digits(source.weight(), 17) + "\n");
  }
  return hasher.hex();
}

}  // namespace littlebit
