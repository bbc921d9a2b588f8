// SentencePiece's ids between added tokens, and text from both. The library is the judge wherever
// TrimmingBpe does not cover a model.
#include "tokenizer/sentencepiece_tokenizer.h"

#include <sentencepiece_processor.h>

#include <set>
#include <unordered_map>

#include "littlebit/core/error.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"
#include "tokenizer/json_fields.h"
#include "tokenizer/pipeline.h"
#include "tokenizer/sentencepiece_model.h"
#include "tokenizer/trimming_bpe.h"
#include "tokenizer/unicode.h"

namespace littlebit::tokenizer {
namespace {

class SentencePieceTokenizer final : public Tokenizer {
 public:
  SentencePieceTokenizer(const std::filesystem::path& file, const TokenizerConfig& config);

  std::vector<int32_t> encode(std::string_view text, bool add_special_tokens) const override;
  std::string decode(std::span<const int32_t> ids) const override;
  int64_t vocab_size() const override { return static_cast<int64_t>(vocab_.size()); }
  int64_t plain_vocab_size() const override { return static_cast<int64_t>(model_.pieces.size()); }
  std::optional<int32_t> bos_id() const override { return bos_; }
  std::optional<int32_t> eos_id() const override { return eos_; }
  std::string content_hash() const override { return hash_; }
  std::string description() const override;

 private:
  void add_tokens(const TokenizerConfig& config);
  int32_t add_token(const AddedToken& token);
  void segment(std::string_view text, std::vector<int32_t>& ids) const;
  std::string decode_run(std::span<const int32_t> ids) const;

  SentencePieceModel model_;
  sentencepiece::SentencePieceProcessor processor_;
  std::unique_ptr<TrimmingBpe> trimming_bpe_;  // nullptr: the library segments
  bool strips_prefix_;
  std::vector<std::string> vocab_;  // by id, added tokens included
  std::unordered_map<std::string, int32_t> ids_;
  TokenMatcher matcher_;
  std::set<int32_t> special_;   // tokens with a role: BOS, EOS, ...
  std::set<int32_t> separate_;  // added tokens that decoding sets off by spaces
  std::optional<int32_t> bos_, eos_;
  std::vector<int32_t> before_, after_;
  std::string hash_;
};

SentencePieceTokenizer::SentencePieceTokenizer(const std::filesystem::path& file,
                                               const TokenizerConfig& config)
    : strips_prefix_(config.add_prefix_space.value_or(!config.add_prefix_space_is_null)) {
  std::string bytes = read_file(file, 256u << 20);
  model_ = parse_sentencepiece_model(bytes, file.string());
  auto status = processor_.LoadFromSerializedProto(bytes);
  if (!status.ok())
    throw InputError(file.string() + ": SentencePiece does not accept it: " + status.message());
  trimming_bpe_ = TrimmingBpe::make(model_);
  for (const auto& piece : model_.pieces) {
    ids_.emplace(piece.text, static_cast<int32_t>(vocab_.size()));
    vocab_.push_back(piece.text);
  }
  add_tokens(config);
  std::vector<std::filesystem::path> files = {file};
  files.insert(files.end(), config.files.begin(), config.files.end());
  hash_ = hash_of_files(files);
}

int32_t SentencePieceTokenizer::add_token(const AddedToken& token) {
  if (token.single_word || token.lstrip || token.rstrip)
    refuse("tokenizer_config.json",
           "added token \"" + token.content + "\" with lstrip, rstrip or single_word",
           "added tokens without, where SentencePiece's model trims spaces");
  auto [it, is_new] = ids_.emplace(token.content, static_cast<int32_t>(vocab_.size()));
  if (is_new) vocab_.push_back(token.content);
  matcher_.add(token.content, it->second, token);
  return it->second;
}

void SentencePieceTokenizer::add_tokens(const TokenizerConfig& config) {
  for (const auto& [id, token] : config.added_tokens) {
    if (id < vocab_size() ? vocab_[static_cast<size_t>(id)] != token.content : id != vocab_size())
      throw InputError("tokenizer_config.json: added token \"" + token.content + "\" has id " +
                       std::to_string(id) + ", which another piece of the model has");
    separate_.insert(add_token(token));
  }
  auto add_role = [&](const char* role, const char* otherwise) -> std::optional<int32_t> {
    auto token = config.role(role, otherwise);
    if (!token) return std::nullopt;
    int32_t id = add_token(*token);
    special_.insert(id);
    return id;
  };
  bos_ = add_role("bos_token", "<s>");
  eos_ = add_role("eos_token", "</s>");
  add_role("unk_token", "<unk>");
  for (const char* role : {"sep_token", "pad_token", "cls_token", "mask_token"}) add_role(role, "");
  for (int32_t id : special_) separate_.erase(id);
  for (const auto& named : config.additional_special) {
    int32_t id = add_token(named.token);
    special_.insert(id);
    if (id >= static_cast<int32_t>(model_.pieces.size()))
      separate_.insert(id);
    else
      separate_.erase(id);
  }
  if (config.add_bos_token.value_or(true)) {
    if (!bos_) throw InputError("tokenizer_config.json: add_bos_token is true, but bos_token null");
    before_.push_back(*bos_);
  }
  if (config.add_eos_token.value_or(false)) {
    if (!eos_) throw InputError("tokenizer_config.json: add_eos_token is true, but eos_token null");
    after_.push_back(*eos_);
  }
}

void SentencePieceTokenizer::segment(std::string_view text, std::vector<int32_t>& ids) const {
  if (trimming_bpe_) return trimming_bpe_->segment(text, ids);
  std::vector<int> found;
  auto status = processor_.Encode(absl::string_view(text.data(), text.size()), &found);
  LB_ASSERT(status.ok(), status.ToString());
  ids.insert(ids.end(), found.begin(), found.end());
}

std::vector<int32_t> SentencePieceTokenizer::encode(std::string_view text,
                                                    bool add_special_tokens) const {
  require_encodable(text);
  std::vector<int32_t> ids;
  if (add_special_tokens) ids = before_;
  for (const TextPart& part : matcher_.split(text)) {
    if (part.id != TextPart::kText)
      ids.push_back(part.id);
    else
      segment(text.substr(part.begin, part.end - part.begin), ids);
  }
  if (add_special_tokens) ids.insert(ids.end(), after_.begin(), after_.end());
  return ids;
}

// Added tokens without a role stand alone, with spaces between them and the runs of others.
std::string SentencePieceTokenizer::decode(std::span<const int32_t> ids) const {
  std::vector<std::string> parts;
  size_t begin = 0;
  auto flush = [&](size_t end, bool even_empty) {
    if (begin == end) return;
    std::string text = decode_run(ids.subspan(begin, end - begin));
    if (even_empty || !text.empty()) parts.push_back(std::move(text));
  };
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= vocab_size())
      throw InputError("token id " + std::to_string(ids[i]) + " is outside the vocabulary of " +
                       std::to_string(vocab_size()));
    if (!separate_.count(ids[i])) continue;
    flush(i, false);
    parts.push_back(vocab_[static_cast<size_t>(ids[i])]);
    begin = i + 1;
  }
  flush(ids.size(), true);
  return join(parts, " ");
}

// The library decodes what stands between tokens with a role.
std::string SentencePieceTokenizer::decode_run(std::span<const int32_t> ids) const {
  std::string out;
  std::vector<std::string> run;
  bool after_special = false;
  auto flush = [&] {
    std::string text;
    auto status = processor_.Decode(run, &text);
    LB_ASSERT(status.ok(), status.ToString());
    out += text;
    run.clear();
  };
  for (size_t i = 0; i < ids.size(); ++i) {
    std::string piece = vocab_[static_cast<size_t>(ids[i])];
    if (i == 0 && strips_prefix_ && piece.starts_with(kMetaspace))
      piece.erase(0, kMetaspace.size());
    if (special_.count(ids[i])) {
      if (!after_special && i != 0) out += ' ';
      flush();
      out += piece;
      after_special = true;
    } else {
      if (after_special && i == 1 && strips_prefix_ && !piece.starts_with(kMetaspace)) out += ' ';
      run.push_back(piece);
      after_special = false;
    }
  }
  flush();
  return out;
}

std::string SentencePieceTokenizer::description() const {
  std::string text = std::string("SentencePiece ") + name(model_.kind) + ", " +
                     std::to_string(vocab_size()) + " pieces";
  for (int32_t id : before_) text += ", adds " + vocab_[static_cast<size_t>(id)] + " in front";
  for (int32_t id : after_) text += ", adds " + vocab_[static_cast<size_t>(id)] + " at the end";
  return text;
}

}  // namespace

std::unique_ptr<Tokenizer> load_sentencepiece(const std::filesystem::path& file,
                                              const TokenizerClass& kind,
                                              const TokenizerConfig& config) {
  const std::string trims = " with a SentencePiece model that trims spaces or rewrites characters";
  if (std::string_view(kind.name) != "LlamaTokenizer")
    refuse(file.string(), kind.name + trims, "LlamaTokenizer");
  LB_ASSERT(config.legacy.value_or(true), "legacy: false is converted");
  if (config.split_special_tokens)
    refuse("tokenizer_config.json", "split_special_tokens: true", "false");
  return std::make_unique<SentencePieceTokenizer>(file, config);
}

}  // namespace littlebit::tokenizer
