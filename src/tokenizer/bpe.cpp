// Byte pair encoding: a piece begins as single characters (or bytes), and of all pairs of
// neighbours that a merge names the one of the lowest rank is merged, the leftmost first, until
// none is left. Merging by rank: few symbols by looking again after each merge, many by a heap,
// long pieces cut first where no merge can reach across. All three give the same ids.
#include "tokenizer/bpe.h"

#include <algorithm>
#include <array>
#include <queue>

#include "littlebit/core/error.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/pair_table.h"
#include "tokenizer/unicode.h"

namespace littlebit::tokenizer {
namespace {

constexpr int32_t kUnknown = -1;  // a character that is not in the vocabulary
// Up to here merge_few() searches again, which costs less than keeping a heap. Nearly all words are
// this short.
constexpr size_t kFewSymbols = 24;

// Which two characters may ever stand side by side inside a token made by merges. A Bloom filter:
// it may say yes where it is no, never the other way round. Between two others a piece can be cut
// without changing its ids. The reasoning: if two characters at a border stand side by side in no
// token, no token can reach across it, and the merges left and right of it do not see each other.
class Neighbours {
 public:
  void add(char32_t left, char32_t right) {
    size_t bit = index(left, right);
    bits_[bit / 64] |= uint64_t{1} << (bit % 64);
  }
  bool maybe(char32_t left, char32_t right) const {
    size_t bit = index(left, right);
    return bits_[bit / 64] >> (bit % 64) & 1;
  }

 private:
  static constexpr size_t kBits = 1u << 21;
  static size_t index(char32_t left, char32_t right) {
    // A code point has 21 bits. Multiplying by 2^64 / golden ratio spreads all bits of the key over
    // the upper ones, of which the first 21 number a bit of the filter.
    uint64_t key = static_cast<uint64_t>(left) << 21 | right;
    return key * 0x9E3779B97F4A7C15u >> 43;
  }
  std::vector<uint64_t> bits_ = std::vector<uint64_t>(kBits / 64);
};

class Bpe final : public Model {
 public:
  Bpe(const Vocabulary& vocabulary, const BpeSettings& settings, const std::string& where);

  void tokenize(std::string_view piece, Workspace& work, std::vector<int32_t>& ids) const override;
  std::string description() const override { return bytes_ ? "byte-level BPE" : "BPE"; }

 private:
  void read_merges(const BpeSettings& settings, const std::string& where);
  void read_symbols();
  // A symbol is a byte where the vocabulary is byte-level, else a character.
  size_t step(std::string_view text, size_t at) const { return bytes_ ? 1 : utf8_length(text[at]); }
  char32_t symbol_at(std::string_view text, size_t at) const {
    return bytes_ ? static_cast<uint8_t>(text[at]) : code_point_at(text, at);
  }
  int32_t symbol_id(char32_t symbol) const;
  int32_t affixed_id(std::string_view text, bool first, bool last) const;
  void tokenize_long(std::string_view piece, Workspace& work, std::vector<int32_t>& ids) const;
  void tokenize_word(std::string_view word, bool is_piece, Workspace& work,
                     std::vector<int32_t>& ids) const;
  void to_symbols(std::string_view word, std::vector<int32_t>& symbols) const;
  void merge_few(std::vector<int32_t>& symbols) const;
  void merge_many(Workspace& work) const;

  Vocabulary tokens_;  // by text, or by bytes
  PairTable merges_;
  std::vector<int32_t> id_of_rank_;
  Neighbours neighbours_;
  std::array<int32_t, 256> low_{};  // ids of bytes, or of the first 256 characters
  std::unordered_map<char32_t, int32_t> high_;
  std::array<int32_t, 256> byte_tokens_{};  // of <0x00> ... <0xFF>, kUnknown: none
  int32_t unk_id_ = kUnknown;
  std::string
      missing_unk_;  // an unknown token that is not in the vocabulary: fails when it is needed
  std::string prefix_, suffix_;
  bool fuse_unk_, byte_fallback_, ignore_merges_, bytes_;
};

Bpe::Bpe(const Vocabulary& vocabulary, const BpeSettings& settings, const std::string& where)
    : tokens_(vocabulary),
      prefix_(settings.continuing_subword_prefix),
      suffix_(settings.end_of_word_suffix),
      fuse_unk_(settings.fuse_unk),
      byte_fallback_(settings.byte_fallback),
      ignore_merges_(settings.ignore_merges),
      bytes_(settings.bytes && prefix_.empty() && suffix_.empty()) {
  // Affixes are characters, byte-level symbols are single bytes.
  if (settings.bytes && !bytes_)
    throw InputError(where + ": byte-level BPE with a subword prefix or suffix is not supported");
  byte_tokens_.fill(kUnknown);
  static const char kHex[] = "0123456789ABCDEF";
  for (int b = 0; b < 256; ++b) {
    auto it = tokens_.find({'<', '0', 'x', kHex[b >> 4], kHex[b & 15], '>'});
    if (it != tokens_.end()) byte_tokens_[b] = it->second;
  }
  if (!settings.unk_token.empty()) {
    auto it = tokens_.find(settings.unk_token);
    if (it == tokens_.end())
      missing_unk_ = where + ": unk_token \"" + settings.unk_token + "\"";
    else
      unk_id_ = it->second;
  }
  read_merges(settings, where);
  read_symbols();
}

void Bpe::read_merges(const BpeSettings& settings, const std::string& where) {
  merges_.reserve(settings.merges.size());
  for (size_t i = 0; i < settings.merges.size(); ++i) {
    const std::string &left = settings.merges[i].first, &right = settings.merges[i].second;
    // Parts and result must be tokens, or a merge would make an id that does not exist.
    auto id_of = [&](const std::string& token) {
      auto it = tokens_.find(token);
      if (it == tokens_.end())
        throw InputError(where + ": merge \"" + left + "\" + \"" + right + "\" needs the token \"" +
                         token + "\", which is not in the vocabulary");
      return it->second;
    };
    int32_t left_id = id_of(left), right_id = id_of(right);
    if (right.size() < prefix_.size())
      throw InputError(where + ": merge \"" + left + "\" + \"" + right +
                       "\": the right part has no prefix");
    // WordPiece-like prefixes ("##") mark the right part; inside a token the mark is gone.
    std::string whole = left + right.substr(prefix_.size());
    int32_t id = id_of(whole);
    // Ranks are the order of the file, unless it numbers them itself.
    uint32_t rank = settings.ranks.empty() ? static_cast<uint32_t>(i) : settings.ranks[i];
    merges_.insert(static_cast<uint32_t>(left_id), static_cast<uint32_t>(right_id), rank, id);
    if (rank >= id_of_rank_.size()) id_of_rank_.resize(rank + 1, kUnknown);
    id_of_rank_[rank] = id;
    // All neighbours inside the token count, not only the two where its parts meet: a later cut is
    // decided by characters, before anything is merged.
    if (bytes_) whole = from_byte_level(whole).value_or("");
    for (size_t at = 0, next; at < whole.size(); at = next) {
      next = at + step(whole, at);
      if (next < whole.size()) neighbours_.add(symbol_at(whole, at), symbol_at(whole, next));
    }
  }
}

// The ids of single bytes or characters; in a byte vocabulary, from here on tokens_ is keyed by
// bytes.
void Bpe::read_symbols() {
  if (bytes_) {
    Vocabulary by_bytes;
    for (const auto& [token, id] : tokens_)
      if (auto raw = from_byte_level(token); raw && !raw->empty()) by_bytes.emplace(*raw, id);
    tokens_ = std::move(by_bytes);
  }
  low_.fill(kUnknown);
  for (const auto& [token, id] : tokens_) {
    if (token.empty() || step(token, 0) != token.size()) continue;
    char32_t symbol = symbol_at(token, 0);
    if (symbol < low_.size())
      low_[symbol] = id;
    else
      high_.emplace(symbol, id);
  }
  // From here on only whole pieces (ignore_merges) and affixed symbols are looked up by text.
  if (!ignore_merges_ && prefix_.empty() && suffix_.empty()) tokens_ = {};
}

int32_t Bpe::symbol_id(char32_t symbol) const {
  if (symbol < low_.size()) return low_[symbol];
  auto it = high_.find(symbol);
  return it == high_.end() ? kUnknown : it->second;
}

int32_t Bpe::affixed_id(std::string_view text, bool first, bool last) const {
  std::string token = (first ? "" : prefix_) + std::string(text) + (last ? suffix_ : "");
  auto it = tokens_.find(token);
  return it == tokens_.end() ? kUnknown : it->second;
}

void Bpe::to_symbols(std::string_view word, std::vector<int32_t>& symbols) const {
  symbols.clear();
  const bool affixes = !prefix_.empty() || !suffix_.empty();
  bool unk = false;  // an unknown token is due
  for (size_t at = 0, next; at < word.size(); at = next) {
    next = at + step(word, at);
    std::string_view text = word.substr(at, next - at);
    int32_t id =
        affixes ? affixed_id(text, at == 0, next == word.size()) : symbol_id(symbol_at(word, at));
    if (id != kUnknown) {
      if (unk) symbols.push_back(unk_id_);
      unk = false;
      symbols.push_back(id);
      continue;
    }
    // Bytes are taken only if every one of them has a token; half a character is worth nothing.
    if (byte_fallback_) {
      std::string whole = (at == 0 ? "" : prefix_) +
                          (bytes_ ? to_byte_level(text) : std::string(text)) +
                          (next == word.size() ? suffix_ : "");
      bool all = std::all_of(whole.begin(), whole.end(), [&](char b) {
        return byte_tokens_[static_cast<uint8_t>(b)] != kUnknown;
      });
      if (all) {  // the unknown token that is due stays due, as in the original
        for (char b : whole) symbols.push_back(byte_tokens_[static_cast<uint8_t>(b)]);
        continue;
      }
    }
    if (!missing_unk_.empty())
      throw InputError(missing_unk_ + " is needed for \"" + std::string(text) +
                       "\", but it is not in the vocabulary");
    if (unk_id_ == kUnknown) continue;  // without an unknown token, the character is dropped
    if (unk && !fuse_unk_) symbols.push_back(unk_id_);
    unk = true;
  }
  if (unk) symbols.push_back(unk_id_);
}

// Few symbols: look for the lowest rank again after each merge.
void Bpe::merge_few(std::vector<int32_t>& symbols) const {
  std::array<PairTable::Merge, kFewSymbols> found;
  auto look = [&](size_t i) {
    found[i] =
        merges_.find(static_cast<uint32_t>(symbols[i]), static_cast<uint32_t>(symbols[i + 1]));
  };
  size_t count = symbols.size();
  for (size_t i = 0; i + 1 < count; ++i) look(i);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i)
      if (found[i].rank < found[best].rank) best = i;
    // kNone is larger than every rank: the best being none, no pair is left that merges.
    if (found[best].rank == PairTable::kNone) break;
    symbols[best] = found[best].id;
    --count;
    for (size_t i = best + 1; i < count; ++i) {
      symbols[i] = symbols[i + 1];
      found[i - 1] = found[i];
    }
    symbols.resize(count);
    // Only the two pairs beside the new symbol have changed.
    if (best > 0) look(best - 1);
    if (best + 1 < count) look(best);
  }
}

// Many symbols: a heap of (rank, position); symbols are a linked list.
void Bpe::merge_many(Workspace& work) const {
  std::vector<int32_t>&symbols = work.a, &next = work.b, &previous = work.c;
  const auto count = static_cast<int32_t>(symbols.size());
  next.resize(symbols.size());
  previous.resize(symbols.size());
  work.heap.clear();
  auto pair_at = [&](int32_t i) -> const PairTable::Merge& {
    return merges_.find(static_cast<uint32_t>(symbols[i]), static_cast<uint32_t>(symbols[next[i]]));
  };
  // The position is the lower half, so that of equal ranks the leftmost comes first, as in
  // merge_few().
  auto entry = [](uint32_t rank, int32_t at) {
    return static_cast<uint64_t>(rank) << 32 | static_cast<uint32_t>(at);
  };
  for (int32_t i = 0; i < count; ++i) {
    next[i] = i + 1 < count ? i + 1 : -1;
    previous[i] = i - 1;
    if (next[i] < 0) break;
    uint32_t rank = pair_at(i).rank;
    if (rank != PairTable::kNone) work.heap.push_back(entry(rank, i));
  }
  std::make_heap(work.heap.begin(), work.heap.end(), std::greater<>());
  auto push = [&](int32_t i) {
    uint32_t rank = pair_at(i).rank;
    if (rank == PairTable::kNone) return;
    work.heap.push_back(entry(rank, i));
    std::push_heap(work.heap.begin(), work.heap.end(), std::greater<>());
  };
  while (!work.heap.empty()) {
    std::pop_heap(work.heap.begin(), work.heap.end(), std::greater<>());
    uint64_t top = work.heap.back();
    work.heap.pop_back();
    auto at = static_cast<int32_t>(top & UINT32_MAX);
    if (symbols[at] < 0 || next[at] < 0) continue;  // merged into its left neighbour, or the last
    // An entry stays in the heap when its pair is merged away. It is recognised here by the token
    // that its rank makes: symbols only grow, so the same token at the same position is made from
    // the same pair, and another pair makes another token.
    const PairTable::Merge& merge = pair_at(at);
    if (merge.rank == PairTable::kNone || merge.id != id_of_rank_[top >> 32]) continue;  // outdated
    int32_t right = next[at];
    symbols[at] = merge.id;
    // Taken out of the list; the position stays, since others are numbered by it.
    symbols[right] = -1;
    next[at] = next[right];
    if (next[at] >= 0) previous[next[at]] = at;
    if (previous[at] >= 0) push(previous[at]);
    if (next[at] >= 0) push(at);
  }
  symbols.erase(std::remove(symbols.begin(), symbols.end(), -1), symbols.end());
}

void Bpe::tokenize_word(std::string_view word, bool is_piece, Workspace& work,
                        std::vector<int32_t>& ids) const {
  // Where whole tokens go before merges, parts of a piece must not be taken for pieces.
  const bool caches = word.size() <= WordCache::kLongestWord && (is_piece || !ignore_merges_);
  uint64_t hash = 0;
  if (caches) {
    hash = WordCache::hash(word);
    auto known = work.cache.find(word, hash);
    if (!known.empty()) {
      ids.insert(ids.end(), known.begin(), known.end());
      return;
    }
  }
  auto whole = is_piece && ignore_merges_ ? tokens_.find(std::string(word)) : tokens_.end();
  if (whole != tokens_.end()) {
    work.a.assign(1, whole->second);
  } else {
    to_symbols(word, work.a);
    if (work.a.size() <= kFewSymbols)
      merge_few(work.a);
    else
      merge_many(work);
  }
  // Most words of a text occur many times: the cache is what makes tokenising fast.
  if (caches && !work.a.empty()) work.cache.insert(word, hash, work.a);
  ids.insert(ids.end(), work.a.begin(), work.a.end());
}

// Cuts the piece where no merge can reach across, so that words are found in the cache.
void Bpe::tokenize_long(std::string_view piece, Workspace& work, std::vector<int32_t>& ids) const {
  size_t begin = 0;
  char32_t left = symbol_at(piece, 0);
  bool left_known = symbol_id(left) != kUnknown;
  for (size_t at = step(piece, 0); at < piece.size(); at += step(piece, at)) {
    char32_t right = symbol_at(piece, at);
    bool right_known = symbol_id(right) != kUnknown;
    // Never beside an unknown character: neighbours of its kind may be fused to one unknown token,
    // across the cut.
    if (left_known && right_known && !neighbours_.maybe(left, right)) {
      tokenize_word(piece.substr(begin, at - begin), false, work, ids);
      begin = at;
    }
    left = right;
    left_known = right_known;
  }
  tokenize_word(piece.substr(begin), false, work, ids);
}

void Bpe::tokenize(std::string_view piece, Workspace& work, std::vector<int32_t>& ids) const {
  // Short pieces are found in the cache whole. With affixes the ends of a part would be spelled as
  // the ends of a piece, and a piece that is a token itself must not be cut.
  bool cuts = piece.size() > WordCache::kLongestWord && prefix_.empty() && suffix_.empty() &&
              !(ignore_merges_ && tokens_.count(std::string(piece)));
  if (cuts)
    tokenize_long(piece, work, ids);
  else
    tokenize_word(piece, true, work, ids);
}

}  // namespace

std::unique_ptr<Model> make_bpe(const Vocabulary& vocabulary, const BpeSettings& settings,
                                const std::string& where) {
  return std::make_unique<Bpe>(vocabulary, settings, where);
}

}  // namespace littlebit::tokenizer
