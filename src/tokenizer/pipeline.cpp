// Runs the parts in Hugging Face's order. They are immutable, and each call works in a workspace of
// its own (kept for the next one), so any number of threads may encode at once.
//
//     text -> added tokens | rest -> normalizer -> normalised added tokens | rest
//          -> pre-tokenizers: pieces -> model: ids of each piece -> post-processor
#include "tokenizer/pipeline.h"

#include <algorithm>

#include "littlebit/core/error.h"
#include "littlebit/core/hash.h"
#include "littlebit/core/strings.h"
#include "tokenizer/json_fields.h"
#include "tokenizer/regex.h"
#include "tokenizer/unicode.h"
#include "tokenizer/workspace_pool.h"

namespace littlebit::tokenizer {
namespace {

class Pipeline final : public Tokenizer {
 public:
  explicit Pipeline(PipelineParts parts);

  std::vector<int32_t> encode(std::string_view text, bool add_special_tokens) const override;
  std::string decode(std::span<const int32_t> ids) const override;
  int64_t vocab_size() const override { return static_cast<int64_t>(tokens_.size()); }
  int64_t plain_vocab_size() const override { return plain_size_; }
  std::optional<int32_t> bos_id() const override { return parts_.bos; }
  std::optional<int32_t> eos_id() const override { return parts_.eos; }
  std::string content_hash() const override { return hash_; }
  std::string description() const override;

 private:
  void encode_text(std::string_view text, bool at_start, Workspace& work,
                   std::vector<int32_t>& ids) const;
  void encode_normal(std::string_view text, bool at_start, Workspace& work,
                     std::vector<int32_t>& ids) const;

  PipelineParts parts_;
  TokenMatcher raw_, normalized_;
  std::vector<std::string> tokens_;  // by id; "" where there is none
  int64_t plain_size_ = 0;
  std::string hash_;
  mutable WorkspacePool pool_;
};

Pipeline::Pipeline(PipelineParts parts) : parts_(std::move(parts)) {
  const auto& pre = parts_.pre_tokenizers;
  if (pre.start_after_split && parts_.normalizer)
    refuse("pre_tokenizer",
           "Metaspace with prepend_scheme \"first\" after a split, with a normalizer",
           "it as the first step, or without a normalizer");
  // Added tokens are looked for twice: some in the text as it came, the others in what the
  // normalizer makes of it, where they are written as it writes them.
  parts_.added.fill(raw_, normalized_, [&](const std::string& text) {
    std::string out = text;
    if (parts_.normalizer) parts_.normalizer->apply(out);
    return out;
  });
  auto put = [&](int32_t id, const std::string& token) {
    if (static_cast<size_t>(id) >= tokens_.size()) tokens_.resize(static_cast<size_t>(id) + 1);
    tokens_[static_cast<size_t>(id)] = token;
  };
  for (const auto& [token, id] : *parts_.vocabulary) {
    put(id, token);
    // Without the added tokens, which may lie beyond the rows of a model's embedding.
    if (!parts_.added.tokens().count(id)) plain_size_ = std::max<int64_t>(plain_size_, id + 1);
  }
  for (const auto& [id, token] : parts_.added.tokens()) put(id, token.content);
  hash_ = hash_of_files(parts_.files);
}

void Pipeline::encode_normal(std::string_view text, bool at_start, Workspace& work,
                             std::vector<int32_t>& ids) const {
  // One piece, the whole text; each step cuts or rewrites pieces, and the model makes ids of each
  // by itself.
  PreTokens tokens{
      .text = text, .rewritten = {}, .pieces = {{0, text.size()}}, .at_start = at_start};
  for (const auto& step : parts_.pre_tokenizers.steps) step->apply(tokens);
  for (const auto& piece : tokens.pieces) parts_.model->tokenize(tokens.view(piece), work, ids);
}

void Pipeline::encode_text(std::string_view text, bool at_start, Workspace& work,
                           std::vector<int32_t>& ids) const {
  std::string normal;
  if (parts_.normalizer) {
    normal = text;
    // A normalizer that takes away the beginning leaves a text that does not begin where the whole
    // one did.
    at_start &= parts_.normalizer->apply(normal);
    text = normal;
  }
  if (text.empty()) return;
  if (normalized_.empty()) return encode_normal(text, at_start, work, ids);
  for (const TextPart& part : normalized_.split(text)) {
    if (part.id != TextPart::kText)
      ids.push_back(part.id);
    else
      encode_normal(text.substr(part.begin, part.end - part.begin), at_start && part.begin == 0,
                    work, ids);
  }
}

std::vector<int32_t> Pipeline::encode(std::string_view text, bool add_special_tokens) const {
  require_encodable(text);
  // Of all patterns together on this text (regex.h).
  const PatternBudget budget(text.size());
  auto work = pool_.take();
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 4 + 4);
  for (const TextPart& part : raw_.split(text)) {
    if (part.id != TextPart::kText)
      ids.push_back(part.id);
    else
      encode_text(text.substr(part.begin, part.end - part.begin), part.begin == 0, *work, ids);
  }
  pool_.give(std::move(work));
  // BOS, EOS and the like come last, around ids.
  return parts_.post_processor.apply(std::move(ids), add_special_tokens);
}

std::string Pipeline::decode(std::span<const int32_t> ids) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (int32_t id : ids) {
    if (id < 0 || id >= vocab_size())
      throw InputError("token id " + std::to_string(id) + " is outside the vocabulary of " +
                       std::to_string(vocab_size()));
    const std::string& token = tokens_[static_cast<size_t>(id)];
    if (!token.empty()) tokens.push_back(token);
  }
  // As Hugging Face's does without a decoder.
  if (!parts_.decoder) return join(tokens, " ");
  parts_.decoder->apply(tokens);
  return join(tokens, "");
}

std::string Pipeline::description() const {
  std::string text = parts_.model->description() + ", " + std::to_string(vocab_size()) + " tokens";
  bool front = true;
  for (const auto& part : parts_.post_processor.parts) {
    if (part.is_text) front = false;
    for (int32_t id : part.ids)
      text += ", adds " +
              (id < vocab_size() ? tokens_[static_cast<size_t>(id)] : std::to_string(id)) +
              (front ? " in front" : " at the end");
  }
  return text;
}

}  // namespace

std::unique_ptr<Tokenizer> make_pipeline(PipelineParts parts) {
  return std::make_unique<Pipeline>(std::move(parts));
}

std::string hash_of_files(const std::vector<std::filesystem::path>& files) {
  Hasher hasher;
  for (const auto& file : files) {
    hasher.update(file.filename().string());
    hasher.update(file_hash(file));
  }
  return hasher.hex();
}

}  // namespace littlebit::tokenizer
