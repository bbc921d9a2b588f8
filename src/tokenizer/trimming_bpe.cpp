// Trims spaces as SentencePiece does and gives the rest to Bpe, each piece's score turned into a
// rank. make() gives nullptr for models of which that is not SentencePiece's own result.
#include "tokenizer/trimming_bpe.h"

#include <algorithm>
#include <set>

#include "tokenizer/bpe.h"
#include "tokenizer/unicode.h"

namespace littlebit::tokenizer {
namespace {

using PieceType = SentencePieceModel::PieceType;

bool can_trim_and_merge(const SentencePieceModel& model) {
  if (model.kind != SentencePieceModel::Kind::kBpe || model.has_character_map ||
      !model.remove_extra_whitespaces || !model.escape_whitespaces ||
      model.treat_whitespace_as_suffix)
    return false;
  std::set<std::string_view> normal;
  std::set<float> scores;
  for (const auto& piece : model.pieces) {
    if (piece.type == PieceType::kUserDefined || piece.type == PieceType::kUnused) return false;
    // A character that names the unknown piece would be taken for it.
    if (piece.type == PieceType::kUnknown && utf8_length(piece.text[0]) == piece.text.size())
      return false;
    if (piece.type != PieceType::kNormal) continue;
    normal.insert(piece.text);
    if (!scores.insert(piece.score).second) return false;  // ranks would not be scores
  }
  for (std::string_view text : normal)  // all that is ever merged is a piece itself
    for (size_t at = 0; at < text.size(); at += utf8_length(text[at]))
      if (!normal.count(text.substr(at, utf8_length(text[at])))) return false;
  return true;
}

}  // namespace

std::unique_ptr<TrimmingBpe> TrimmingBpe::make(const SentencePieceModel& model) {
  if (!can_trim_and_merge(model)) return nullptr;
  return std::unique_ptr<TrimmingBpe>(new TrimmingBpe(model));
}

TrimmingBpe::TrimmingBpe(const SentencePieceModel& model) : prefix_(model.add_dummy_prefix) {
  Vocabulary vocabulary;
  std::vector<const SentencePieceModel::Piece*> normal;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const auto& piece = model.pieces[id];
    if (piece.type == PieceType::kControl) continue;
    vocabulary.emplace(piece.text, static_cast<int32_t>(id));
    if (piece.type == PieceType::kNormal) normal.push_back(&piece);
  }
  // SentencePiece merges the pair whose result has the highest score: with scores all different,
  // their order is a list of ranks.
  std::sort(normal.begin(), normal.end(),
            [](const auto* a, const auto* b) { return a->score > b->score; });
  std::set<std::string_view> texts;
  for (const auto* piece : normal) texts.insert(piece->text);
  BpeSettings settings;
  for (uint32_t rank = 0; rank < normal.size(); ++rank) {
    const std::string& text = normal[rank]->text;
    // Every way to divide the piece into two pieces is a merge to it.
    for (size_t at = utf8_length(text[0]); at < text.size(); at += utf8_length(text[at])) {
      std::string left = text.substr(0, at), right = text.substr(at);
      if (!texts.count(left) || !texts.count(right)) continue;
      settings.merges.emplace_back(std::move(left), std::move(right));
      settings.ranks.push_back(rank);
    }
  }
  settings.unk_token = model.pieces[static_cast<size_t>(model.unk_id)].text;
  settings.fuse_unk = true;
  settings.byte_fallback = model.byte_fallback;
  bpe_ = make_bpe(vocabulary, settings, "tokenizer.model");
}

// Spaces taken off both ends, runs of them made one, and all made visible.
std::string TrimmingBpe::trimmed(std::string_view text) const {
  std::string out;
  size_t begin = text.find_first_not_of(' ');
  if (begin == std::string_view::npos) return out;
  if (prefix_) out += kMetaspace;
  for (size_t at = begin; at < text.size(); ++at) {
    if (text[at] != ' ')
      out += text[at];
    else if (text[at - 1] != ' ')
      out += kMetaspace;
  }
  while (out.ends_with(kMetaspace)) out.resize(out.size() - kMetaspace.size());
  return out;
}

void TrimmingBpe::segment(std::string_view text, std::vector<int32_t>& ids) const {
  std::string normal = trimmed(text);
  if (normal.empty()) return;
  auto work = pool_.take();
  bpe_->tokenize(normal, *work, ids);
  pool_.give(std::move(work));
}

}  // namespace littlebit::tokenizer
