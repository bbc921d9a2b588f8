#include "tokenizer/sentencepiece_tokenizer.h"

#include <sentencepiece_processor.h>

#include <set>
#include <unordered_map>

#include "littlebit/core/error.h"
#include "littlebit/core/file.h"
#include "littlebit/core/hash.h"
#include "littlebit/core/strings.h"
#include "tokenizer/sentencepiece_model.h"
#include "tokenizer/unicode.h"

namespace littlebit {
namespace {

constexpr std::string_view kMetaspace = "\xE2\x96\x81";    // U+2581, SentencePiece's visible space
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// Appended to a serialised model, these bytes turn off its own dummy prefix and trimming of spaces:
// protobuf merges a message field that comes twice. {normalizer_spec: {3: false, 4: false}}
constexpr std::string_view kLeaveSpaces("\x1A\x04\x18\x00\x20\x00", 6);

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

class SentencePieceTokenizer final : public Tokenizer {
 public:
  SentencePieceTokenizer(const std::filesystem::path& file, const TokenizerConfig& config);

  std::vector<int32_t> encode(std::string_view text, bool add_special_tokens) const override;
  std::string decode(std::span<const int32_t> ids) const override;
  int64_t vocab_size() const override { return static_cast<int64_t>(vocab_.size()); }
  std::string content_hash() const override { return hash_; }
  std::string description() const override;

 private:
  void add_tokens(const TokenizerConfig& config);
  int32_t add_token(const AddedToken& token);
  std::string normalized(std::string_view text, bool first) const;
  void segment(std::string_view text, std::vector<int32_t>& ids) const;
  std::string decode_as_library(std::span<const int32_t> ids) const;
  std::string decode_as_pieces(std::span<const int32_t> ids) const;

  SentencePieceModel model_;
  sentencepiece::SentencePieceProcessor processor_;
  // The model trims spaces itself: its text is handed over as it is, as transformers' Python
  // tokenizer does.
  bool own_spaces_ = false;
  bool legacy_ = true;
  std::vector<std::string> vocab_;  // by id, added tokens included
  std::unordered_map<std::string, int32_t> ids_;
  TokenMatcher raw_, in_normalized_;
  std::set<int32_t> special_;
  std::vector<int32_t> before_, after_;
  std::string hash_;
};

SentencePieceTokenizer::SentencePieceTokenizer(const std::filesystem::path& file,
                                               const TokenizerConfig& config) {
  std::string bytes = read_file(file, 256u << 20);
  model_ = parse_sentencepiece_model(bytes, file.string());
  legacy_ = config.legacy.value_or(true);
  own_spaces_ = model_.remove_extra_whitespaces || model_.has_character_map;
  if (!own_spaces_) bytes += kLeaveSpaces;
  auto status = processor_.LoadFromSerializedProto(bytes);
  if (!status.ok())
    throw InputError(file.string() + ": SentencePiece does not accept it: " + status.message());
  for (const auto& piece : model_.pieces) {
    ids_.emplace(piece.text, static_cast<int32_t>(vocab_.size()));
    vocab_.push_back(piece.text);
  }
  add_tokens(config);

  Hasher hasher;
  hasher.update(file_hash(file));
  for (const auto& other : config.files) hasher.update(file_hash(other));
  hash_ = hasher.hex();
}

int32_t SentencePieceTokenizer::add_token(const AddedToken& token) {
  auto [it, is_new] = ids_.emplace(token.content, static_cast<int32_t>(vocab_.size()));
  if (is_new) vocab_.push_back(token.content);
  if (token.special) special_.insert(it->second);
  bool normalizes = token.normalized && !own_spaces_;
  (normalizes ? in_normalized_ : raw_)
      .add(normalizes ? normalized(token.content, true) : token.content, it->second, token);
  return it->second;
}

void SentencePieceTokenizer::add_tokens(const TokenizerConfig& config) {
  for (const auto& piece : model_.pieces)
    if (piece.type == SentencePieceModel::PieceType::kUserDefined)
      add_token({.content = piece.text, .normalized = false});
  for (const auto& [id, token] : config.added_tokens) {
    if (id < vocab_size() ? vocab_[id] != token.content : id != vocab_size())
      throw InputError("tokenizer_config.json: added token \"" + token.content + "\" has id " +
                       std::to_string(id) + ", which the model does not leave to it");
    add_token(token);
  }
  auto add_role = [&](const char* role, const char* otherwise) -> std::optional<int32_t> {
    auto token = config.role(role, otherwise);
    if (!token) return std::nullopt;
    token->special = true;
    return add_token(*token);
  };
  add_role("unk_token", "<unk>");
  add_role("pad_token", "");
  auto bos = add_role("bos_token", "<s>");
  auto eos = add_role("eos_token", "</s>");
  for (auto named : config.additional_special) {
    named.token.special = true;
    if (!named.has_settings) named.token.normalized = false;
    add_token(named.token);
  }
  if (config.add_bos_token.value_or(true)) {
    if (!bos) throw InputError("tokenizer_config.json: add_bos_token is true, but bos_token null");
    before_.push_back(*bos);
  }
  if (config.add_eos_token.value_or(false)) {
    if (!eos) throw InputError("tokenizer_config.json: add_eos_token is true, but eos_token null");
    after_.push_back(*eos);
  }
}

// Text between added tokens as the segmentation sees it. `first`: nothing stands before it.
std::string SentencePieceTokenizer::normalized(std::string_view text, bool first) const {
  std::string out(text);
  if (own_spaces_ || out.empty()) return out;
  replace_all(out, " ", kMetaspace);
  bool prefix = legacy_ || (first && !out.starts_with(kMetaspace));
  if (prefix && model_.add_dummy_prefix) out.insert(0, kMetaspace);
  return out;
}

void SentencePieceTokenizer::segment(std::string_view text, std::vector<int32_t>& ids) const {
  std::vector<int> found;
  auto status = processor_.Encode(absl::string_view(text.data(), text.size()), &found);
  LB_ASSERT(status.ok(), status.ToString());
  ids.insert(ids.end(), found.begin(), found.end());
}

std::vector<int32_t> SentencePieceTokenizer::encode(std::string_view text,
                                                    bool add_special_tokens) const {
  require_utf8(text, "the text");
  std::vector<int32_t> ids;
  if (add_special_tokens) ids = before_;
  for (const TextPart& part : raw_.split(text)) {
    if (part.id != TextPart::kText) {
      ids.push_back(part.id);
      continue;
    }
    std::string chunk = normalized(text.substr(part.begin, part.end - part.begin), part.begin == 0);
    for (const TextPart& inner : in_normalized_.split(chunk)) {
      if (inner.id != TextPart::kText)
        ids.push_back(inner.id);
      else
        segment(std::string_view(chunk).substr(inner.begin, inner.end - inner.begin), ids);
    }
  }
  if (add_special_tokens) ids.insert(ids.end(), after_.begin(), after_.end());
  return ids;
}

std::string SentencePieceTokenizer::decode(std::span<const int32_t> ids) const {
  for (int32_t id : ids)
    if (id < 0 || id >= vocab_size())
      throw InputError("token id " + std::to_string(id) + " is outside the vocabulary of " +
                       std::to_string(vocab_size()));
  return own_spaces_ ? decode_as_library(ids) : decode_as_pieces(ids);
}

// As transformers' Python Llama tokenizer: runs between special tokens by the library.
std::string SentencePieceTokenizer::decode_as_library(std::span<const int32_t> ids) const {
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
    std::string piece = vocab_[ids[i]];
    if (i == 0 && piece.starts_with(kMetaspace)) piece.erase(0, kMetaspace.size());
    if (special_.count(ids[i])) {
      if (!after_special && i != 0 && legacy_) out += ' ';
      flush();
      out += piece;
      after_special = true;
    } else {
      if (after_special && i == 1 && !piece.starts_with(kMetaspace)) out += ' ';
      run.push_back(piece);
      after_special = false;
    }
  }
  flush();
  return out;
}

// As the decoder transformers gives a converted Llama tokenizer: spaces back, bytes joined, one
// leading space dropped.
std::string SentencePieceTokenizer::decode_as_pieces(std::span<const int32_t> ids) const {
  std::string out, bytes;
  auto flush = [&] {
    bool whole = invalid_utf8_at(bytes) == std::string::npos;
    if (whole) out += bytes;
    for (size_t i = 0; !whole && i < bytes.size(); ++i) out += kReplacement;
    bytes.clear();
  };
  for (int32_t id : ids) {
    if (id < static_cast<int32_t>(model_.pieces.size()) && processor_.IsByte(id)) {
      bytes.push_back(static_cast<char>(std::stoi(vocab_[id].substr(3, 2), nullptr, 16)));
      continue;
    }
    flush();
    std::string piece = vocab_[id];
    replace_all(piece, kMetaspace, " ");
    out += piece;
  }
  flush();
  if (model_.add_dummy_prefix && out.starts_with(' ')) out.erase(0, 1);
  return out;
}

std::string SentencePieceTokenizer::description() const {
  std::string text = std::string("SentencePiece ") + name(model_.kind) + ", " +
                     std::to_string(vocab_size()) + " pieces";
  if (!before_.empty()) text += ", adds " + vocab_[before_[0]] + " in front";
  if (!after_.empty()) text += ", adds " + vocab_[after_[0]] + " at the end";
  return text;
}

}  // namespace

std::unique_ptr<Tokenizer> load_sentencepiece(const std::filesystem::path& file,
                                              const TokenizerConfig& config) {
  return std::make_unique<SentencePieceTokenizer>(file, config);
}

}  // namespace littlebit
