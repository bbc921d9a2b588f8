// Viterbi over the ends of characters with a trie of the tokens. Of equal scores the first found
// stays, as in Hugging Face's.
#include "tokenizer/unigram.h"

#include <algorithm>
#include <array>
#include <limits>

#include "littlebit/core/error.h"
#include "tokenizer/pair_table.h"
#include "tokenizer/unicode.h"

namespace littlebit::tokenizer {
namespace {

constexpr int32_t kNone = -1;
constexpr double kUnknownPenalty = 10.0;

// The best segmentation maximises the sum of its tokens' log-probabilities. By positions from left
// to right, every token that begins at one is offered to the position where it ends; the trie finds
// all of them in one walk.
class Unigram final : public Model {
 public:
  Unigram(UnigramSettings settings, const std::string& where);
  void tokenize(std::string_view piece, Workspace& work, std::vector<int32_t>& ids) const override;
  std::string description() const override { return "Unigram"; }

 private:
  void best_path(std::string_view piece, Workspace& work) const;
  void append(std::string_view text, std::vector<int32_t>& ids) const;

  Vocabulary ids_;
  std::vector<double> scores_;
  PairTable children_;             // (node, byte) -> node; node 0 is the root
  std::vector<int32_t> token_at_;  // by node, kNone: no token ends there
  std::array<int32_t, 256> byte_tokens_{};
  int32_t unk_id_ = kNone;
  double unk_score_ = 0;
  bool byte_fallback_;
  std::string where_;
};

Unigram::Unigram(UnigramSettings settings, const std::string& where)
    : byte_fallback_(settings.byte_fallback), where_(where) {
  size_t letters = 0;
  for (const auto& [token, score] : settings.pieces) letters += token.size();
  children_.reserve(letters);
  token_at_.assign(1, kNone);
  double least = std::numeric_limits<double>::infinity();
  for (const auto& [token, score] : settings.pieces) {
    auto id = static_cast<int32_t>(scores_.size());
    if (!ids_.emplace(token, id).second)
      throw InputError(where + ": the token \"" + token + "\" occurs twice");
    scores_.push_back(score);
    least = std::min(least, score);
    uint32_t node = 0;
    for (char c : token) {
      auto byte = static_cast<uint8_t>(c);
      const auto& child = children_.find(node, byte);
      if (child.rank != PairTable::kNone) {
        node = static_cast<uint32_t>(child.id);
        continue;
      }
      auto created = static_cast<uint32_t>(token_at_.size());
      children_.insert(node, byte, 0, static_cast<int32_t>(created));
      token_at_.push_back(kNone);
      node = created;
    }
    // An empty token is never found: it would end where it begins.
    if (node != 0) token_at_[node] = id;
  }
  if (settings.unk_id) unk_id_ = *settings.unk_id;
  // As SentencePiece: an unknown character costs more than the least probable token.
  unk_score_ = least - kUnknownPenalty;
  byte_tokens_.fill(kNone);
  static const char kHex[] = "0123456789ABCDEF";
  for (int b = 0; b < 256; ++b) {
    auto it = ids_.find({'<', '0', 'x', kHex[b >> 4], kHex[b & 15], '>'});
    if (it != ids_.end()) byte_tokens_[b] = it->second;
  }
}

// For every end of a character: the token that ends there on the best path (work.a), where it
// starts (work.b) and the path's score.
void Unigram::best_path(std::string_view piece, Workspace& work) const {
  work.a.assign(piece.size() + 1, kNone);
  work.b.assign(piece.size() + 1, kNone);
  work.scores.assign(piece.size() + 1, 0.0);
  auto offer = [&](size_t begin, size_t end, double score, int32_t id) {
    double total = score + work.scores[begin];
    // Only a better path replaces one.
    if (work.b[end] != kNone && !(total > work.scores[end])) return;
    work.scores[end] = total;
    work.b[end] = static_cast<int32_t>(begin);
    work.a[end] = id;
  };
  for (size_t begin = 0, length; begin < piece.size(); begin += length) {
    length = utf8_length(piece[begin]);
    bool single = false;
    uint32_t node = 0;
    for (size_t at = begin; at < piece.size(); ++at) {
      const auto& child = children_.find(node, static_cast<uint8_t>(piece[at]));
      if (child.rank == PairTable::kNone) break;
      node = static_cast<uint32_t>(child.id);
      int32_t id = token_at_[node];
      if (id == kNone) continue;
      offer(begin, at + 1, scores_[id], id);
      single |= at + 1 - begin == length;
    }
    // Every character can be crossed: where no token is that character, the unknown one is.
    if (single) continue;
    if (unk_id_ == kNone)
      throw InputError(where_ + ": there is no unknown token for \"" +
                       std::string(piece.substr(begin, length)) + "\"");
    offer(begin, begin + length, unk_score_, unk_id_);
  }
}

void Unigram::append(std::string_view text, std::vector<int32_t>& ids) const {
  auto it = ids_.find(std::string(text));
  if (it != ids_.end()) {
    ids.push_back(it->second);
    return;
  }
  auto token_of = [&](char b) { return byte_tokens_[static_cast<uint8_t>(b)]; };
  if (byte_fallback_ &&
      std::all_of(text.begin(), text.end(), [&](char b) { return token_of(b) != kNone; })) {
    for (char b : text) ids.push_back(token_of(b));
    return;
  }
  ids.push_back(unk_id_);
}

void Unigram::tokenize(std::string_view piece, Workspace& work, std::vector<int32_t>& ids) const {
  const bool caches = piece.size() <= WordCache::kLongestWord;
  uint64_t hash = caches ? WordCache::hash(piece) : 0;
  if (caches) {
    auto known = work.cache.find(piece, hash);
    if (!known.empty()) {
      ids.insert(ids.end(), known.begin(), known.end());
      return;
    }
  }
  best_path(piece, work);
  // The ends of the path's tokens, from the last; unknown characters side by side are one token.
  std::vector<int32_t>& ends = work.c;
  ends.clear();
  for (auto end = static_cast<int32_t>(piece.size()); end > 0; end = work.b[end]) {
    bool joins = !ends.empty() && unk_id_ != kNone && work.a[end] == unk_id_ &&
                 work.a[ends.back()] == unk_id_;
    if (joins)
      work.b[ends.back()] = work.b[end];
    else
      ends.push_back(end);
  }
  // In the order of the text: the path was walked from its end.
  size_t before = ids.size();
  for (auto it = ends.rbegin(); it != ends.rend(); ++it)
    append(piece.substr(static_cast<size_t>(work.b[*it]), static_cast<size_t>(*it - work.b[*it])),
           ids);
  if (caches) work.cache.insert(piece, hash, std::span(ids).subspan(before));
}

}  // namespace

std::unique_ptr<Model> make_unigram(UnigramSettings settings, const std::string& where) {
  return std::make_unique<Unigram>(std::move(settings), where);
}

}  // namespace littlebit::tokenizer
