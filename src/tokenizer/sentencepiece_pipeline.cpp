// tokenizer.model as vocabulary, model and the steps around it. Merges are those that transformers
// derives from the scores, in its order; kinds other than BPE and Unigram are refused.
#include "tokenizer/sentencepiece_pipeline.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "tokenizer/bpe.h"
#include "tokenizer/json_fields.h"
#include "tokenizer/unicode.h"
#include "tokenizer/unigram.h"

namespace littlebit::tokenizer {
namespace {

using Json = nlohmann::json;
using PieceType = SentencePieceModel::PieceType;

struct Scored {
  std::string text;
  float score;
};

size_t count_characters(std::string_view text) {
  size_t count = 0;
  for (size_t at = 0; at < text.size(); at += utf8_length(text[at])) ++count;
  return count;
}

// All ways to make a piece of two others: best score first, then the longer left part, then the
// longer right one.
std::vector<std::pair<std::string, std::string>> merges_of(const std::vector<Scored>& pieces,
                                                           const Vocabulary& parts) {
  struct Merge {
    float score;
    size_t left_length, right_length;  // characters
    std::pair<std::string, std::string> pair;
  };
  std::vector<Merge> merges;
  for (const Scored& piece : pieces) {
    const size_t length = count_characters(piece.text);
    std::vector<std::pair<std::pair<int32_t, int32_t>, Merge>> found;
    size_t left_length = 0;
    for (size_t at = 0; at < piece.text.size();) {
      at += utf8_length(piece.text[at]);
      ++left_length;
      if (at == piece.text.size()) break;
      auto left = parts.find(piece.text.substr(0, at));
      if (left == parts.end()) continue;
      auto right = parts.find(piece.text.substr(at));
      if (right == parts.end()) continue;
      found.push_back(
          {{left->second, right->second},
           {piece.score, left_length, length - left_length, {left->first, right->first}}});
    }
    std::stable_sort(found.begin(), found.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    for (auto& item : found) merges.push_back(std::move(item.second));
  }
  std::stable_sort(merges.begin(), merges.end(), [](const Merge& a, const Merge& b) {
    if (a.score != b.score) return a.score > b.score;
    if (a.left_length != b.left_length) return a.left_length > b.left_length;
    return a.right_length > b.right_length;
  });
  std::vector<std::pair<std::string, std::string>> out;
  out.reserve(merges.size());
  for (Merge& merge : merges) out.push_back(std::move(merge.pair));
  return out;
}

// The first three pieces by the names the folder gives them, with score 0; Gemma's tab.
std::vector<Scored> pieces_of(const SentencePieceModel& model, bool gemma,
                              const TokenizerConfig& config) {
  std::vector<Scored> pieces;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const auto& piece = model.pieces[id];
    pieces.push_back({piece.text, id < 3 ? 0.0f : piece.score});
    auto added = config.added_tokens.find(static_cast<int32_t>(id));
    if (id < 3 && !gemma && added != config.added_tokens.end())
      pieces.back().text = added->second.content;
  }
  if (!gemma) return pieces;
  const std::pair<const char*, const char*> kFirst[] = {
      {"pad_token", "<pad>"}, {"eos_token", "<eos>"}, {"bos_token", "<bos>"}};
  for (size_t id = 0; id < std::min<size_t>(3, pieces.size()); ++id)
    if (auto token = config.role(kFirst[id].first, kFirst[id].second))
      pieces[id].text = token->content;
  auto is = [](const char* text) { return [text](const Scored& p) { return p.text == text; }; };
  auto tab = std::find_if(pieces.begin(), pieces.end(), is("<0x09>"));
  if (std::none_of(pieces.begin(), pieces.end(), is("\t")) && tab != pieces.end())
    *tab = {"\t", 0.0f};
  return pieces;
}

void make_model(const SentencePieceModel& model, bool gemma, const std::vector<Scored>& pieces,
                const std::string& where, PipelineParts& parts) {
  for (size_t id = 0; id < pieces.size(); ++id) {
    if (!parts.vocabulary->emplace(pieces[id].text, static_cast<int32_t>(id)).second)
      throw InputError(where + ": the special token \"" + pieces[id].text +
                       "\" of tokenizer_config.json is another piece of the model");
  }
  if (model.kind == SentencePieceModel::Kind::kUnigram) {
    UnigramSettings settings;
    for (const Scored& piece : pieces) settings.pieces.emplace_back(piece.text, piece.score);
    settings.unk_id = gemma ? 3 : 0;
    if (pieces.size() <= 3) throw InputError(where + ": it has fewer than four pieces");
    settings.byte_fallback = true;
    parts.model = make_unigram(std::move(settings), where);
    return;
  }
  if (model.kind != SentencePieceModel::Kind::kBpe)
    refuse(where, std::string("a SentencePiece model of kind ") + name(model.kind), "BPE, Unigram");
  Vocabulary halves;  // what a merge may be made of: the model's own names
  for (size_t id = 0; id < model.pieces.size(); ++id)
    halves.emplace(model.pieces[id].text, static_cast<int32_t>(id));
  if (gemma && !halves.count("\t") && halves.count("<0x09>"))
    halves.emplace("\t", halves.at("<0x09>"));
  BpeSettings settings;
  settings.merges = merges_of(pieces, halves);
  settings.unk_token = model.unk_piece;
  settings.fuse_unk = true;
  settings.byte_fallback = true;
  parts.model = make_bpe(*parts.vocabulary, settings, where);
}

}  // namespace

PipelineParts convert_sentencepiece(const SentencePieceModel& model, const TokenizerClass& kind,
                                    const TokenizerConfig& config, const std::string& where) {
  const bool gemma = std::string_view(kind.name) == "GemmaTokenizer";
  const bool legacy = config.legacy.value_or(true);
  const bool prefix = config.add_prefix_space.value_or(!config.add_prefix_space_is_null);
  PipelineParts parts;
  make_model(model, gemma, pieces_of(model, gemma, config), where, parts);

  std::vector<AddedToken> tokens;
  for (const auto& piece : model.pieces) {
    if (piece.type != PieceType::kControl && piece.type != PieceType::kUserDefined) continue;
    bool special = piece.type == PieceType::kControl ||
                   (gemma && (piece.text == "<start_of_turn>" || piece.text == "<end_of_turn>"));
    tokens.push_back({.content = piece.text, .normalized = false, .special = special});
  }
  parts.added.add(tokens);

  Json space_to_mark = {
      {"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kMetaspace}};
  Json decoders = {{{"type", "Replace"}, {"pattern", {{"String", kMetaspace}}}, {"content", " "}},
                   {{"type", "ByteFallback"}},
                   {{"type", "Fuse"}}};
  Json normalizer, pre_tokenizer;
  if (gemma) {
    normalizer = space_to_mark;
    pre_tokenizer = {{"type", "Split"},
                     {"pattern", {{"String", " "}}},
                     {"behavior", "MergedWithPrevious"},
                     {"invert", false}};
  } else {
    Json steps = Json::array();
    if (prefix) steps.push_back({{"type", "Prepend"}, {"prepend", kMetaspace}});
    steps.push_back(space_to_mark);
    if (legacy)
      normalizer = {{"type", "Sequence"}, {"normalizers", steps}};
    else
      pre_tokenizer = {{"type", "Metaspace"},
                       {"replacement", kMetaspace},
                       {"prepend_scheme", prefix ? "first" : "never"},
                       {"split", false}};
    if (prefix)
      decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  parts.normalizer = read_normalizer(normalizer, where);
  parts.pre_tokenizers = read_pre_tokenizer(pre_tokenizer, where);
  parts.decoder = read_decoder({{"type", "Sequence"}, {"decoders", decoders}}, where);
  return parts;
}

}  // namespace littlebit::tokenizer
