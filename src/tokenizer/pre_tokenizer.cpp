// A class per pre-tokenizer of tokenizer.json and the one table that names them. A type or key that
// is not known here is refused.
#include "tokenizer/pre_tokenizer.h"

#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/json_fields.h"
#include "tokenizer/split_behavior.h"
#include "tokenizer/text_pattern.h"
#include "tokenizer/unicode.h"

namespace littlebit::tokenizer {
namespace {

using Json = nlohmann::json;
using Piece = PreTokens::Piece;

// GPT-2's own pattern, which ByteLevel uses.
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// Replaces every piece by what split(piece's text, its offset, out) appends. The text stays, pieces
// become smaller ones of it: offsets, no copies.
template <class Split>
void split_pieces(PreTokens& tokens, Split&& split) {
  std::vector<Piece> out;
  out.reserve(tokens.pieces.size());
  size_t first = tokens.pieces.empty() ? 0 : tokens.pieces[0].begin;
  for (const Piece& piece : tokens.pieces) split(tokens.view(piece), piece.begin, out);
  // A step that removes the beginning leaves no piece at the text's start, where some tokenizers
  // put a space.
  tokens.at_start = tokens.at_start && !out.empty() && out[0].begin == first;
  tokens.pieces = std::move(out);
}

// Replaces every piece's text by what rewrite(piece, is first, out) appends. The text changes, so
// it is written anew; borders between pieces stay.
template <class Rewrite>
void rewrite_pieces(PreTokens& tokens, Rewrite&& rewrite) {
  std::string out;
  out.reserve(tokens.text.size() + tokens.text.size() / 2);
  for (size_t i = 0; i < tokens.pieces.size(); ++i) {
    size_t begin = out.size();
    rewrite(tokens.view(tokens.pieces[i]), i == 0, out);
    tokens.pieces[i] = {begin, out.size()};
  }
  tokens.rewritten = std::move(out);
  tokens.text = tokens.rewritten;
}

class Split final : public PreTokenizer {
 public:
  Split(TextPattern pattern, SplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  void apply(PreTokens& tokens) const override {
    split_pieces(tokens, [&](std::string_view text, size_t offset, std::vector<Piece>& out) {
      // Text and matches alternate; what becomes of a match (kept, removed, joined to a neighbour)
      // is the behaviour's. `invert` exchanges the two.
      Splitter splitter(behavior_, offset, out);
      size_t done = 0;
      pattern_.find_all(text, [&](size_t begin, size_t end) {
        if (done != begin) splitter.add(done, begin, invert_);
        splitter.add(begin, end, !invert_);
        done = end;
      });
      if (done != text.size()) splitter.add(done, text.size(), invert_);
      splitter.finish();
    });
  }

 private:
  TextPattern pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

// Splits at single characters of a kind.
template <bool (*is_delimiter)(char32_t)>
class SplitAt final : public PreTokenizer {
 public:
  explicit SplitAt(SplitBehavior behavior) : behavior_(behavior) {}

  void apply(PreTokens& tokens) const override {
    split_pieces(tokens, [&](std::string_view text, size_t offset, std::vector<Piece>& out) {
      Splitter splitter(behavior_, offset, out);
      size_t done = 0;
      for (size_t at = 0; at < text.size();) {
        size_t end = at + utf8_length(text[at]);
        if (is_delimiter(code_point_at(text, at))) {
          if (done != at) splitter.add(done, at, false);
          splitter.add(at, end, true);
          done = end;
        }
        at = end;
      }
      if (done != text.size()) splitter.add(done, text.size(), false);
      splitter.finish();
    });
  }

 private:
  SplitBehavior behavior_;
};

// Runs of word characters, and runs of what is neither word nor space. Hugging Face has it as the
// pattern \w+|[^\w\s]+.
class Whitespace final : public PreTokenizer {
 public:
  void apply(PreTokens& tokens) const override {
    split_pieces(tokens, [&](std::string_view text, size_t offset, std::vector<Piece>& out) {
      int last = 0;  // 0: space, 1: word, 2: other
      for (size_t at = 0; at < text.size();) {
        char32_t code = code_point_at(text, at);
        size_t end = at + utf8_length(text[at]);
        int kind = is_word(code) ? 1 : is_white_space(code) ? 0 : 2;
        if (kind != 0 && kind == last)
          out.back().end = offset + end;
        else if (kind != 0)
          out.push_back({offset + at, offset + end});
        last = kind;
        at = end;
      }
    });
  }
};

class PrefixSpace final : public PreTokenizer {
 public:
  void apply(PreTokens& tokens) const override {
    rewrite_pieces(tokens, [](std::string_view text, bool, std::string& out) {
      if (!text.starts_with(' ')) out += ' ';
      out += text;
    });
  }
};

class ToByteLevel final : public PreTokenizer {
 public:
  void apply(PreTokens& tokens) const override {
    rewrite_pieces(
        tokens, [](std::string_view text, bool, std::string& out) { out += to_byte_level(text); });
  }
};

// SentencePiece's way to keep spaces: each becomes a visible character, and a text gets one in
// front, so that a word is spelled alike at its beginning and after a space.
class Metaspace final : public PreTokenizer {
 public:
  enum class Prepend { kAlways, kFirst, kNever };
  Metaspace(std::string replacement, Prepend prepend, bool split)
      : replacement_(std::move(replacement)), prepend_(prepend), split_(split) {}

  void apply(PreTokens& tokens) const override {
    bool at_start = tokens.at_start;
    rewrite_pieces(tokens, [&](std::string_view text, bool first, std::string& out) {
      // Text that begins with a space gets no second one.
      bool has = text.starts_with(' ') || text.starts_with(replacement_);
      bool wanted =
          prepend_ == Prepend::kAlways || (prepend_ == Prepend::kFirst && first && at_start);
      if (wanted && !has) out += replacement_;
      for (char c : text)
        if (c == ' ')
          out += replacement_;
        else
          out += c;
    });
    if (!split_) return;
    split_pieces(tokens, [&](std::string_view text, size_t offset, std::vector<Piece>& out) {
      Splitter splitter(SplitBehavior::kMergedWithNext, offset, out);
      size_t done = 0;
      for (size_t at = 0; (at = text.find(replacement_, at)) != std::string_view::npos;) {
        if (done != at) splitter.add(done, at, false);
        splitter.add(at, at + replacement_.size(), true);
        done = at = at + replacement_.size();
      }
      if (done != text.size()) splitter.add(done, text.size(), false);
      splitter.finish();
    });
  }

 private:
  std::string replacement_;
  Prepend prepend_;
  bool split_;
};

// Collects the steps of the value and of Sequences in it.
class Reader {
 public:
  void read(const Json& value, const std::string& where);
  PreTokenizers result;

  void add(std::unique_ptr<PreTokenizer> step, bool splits) {
    // Byte-level spelling as the last step is left to the model, which takes bytes as they are;
    // only a step behind it must see the spelled text.
    if (result.ends_in_bytes) {
      result.steps.push_back(std::make_unique<ToByteLevel>());
      result.ends_in_bytes = false;
    }
    result.steps.push_back(std::move(step));
    result.splits |= splits;
  }
};

struct Entry {
  const char* type;
  bool (*make)(JsonFields& fields, Reader& reader);
};

bool make_sequence(JsonFields& fields, Reader& reader) {
  for (const Json& step : fields.array("pretokenizers"))
    reader.read(step, fields.where("pretokenizers"));
  return true;
}

bool make_byte_level(JsonFields& fields, Reader& reader) {
  fields.ignore({"trim_offsets"});
  // ByteLevel is three steps in one: a space in front, GPT-2's pattern, and the spelling of bytes
  // as characters.
  if (fields.flag("add_prefix_space")) reader.add(std::make_unique<PrefixSpace>(), false);
  if (fields.flag_or("use_regex", true)) {
    auto split = std::make_unique<Split>(TextPattern(Regex(kGpt2Pattern, fields.where())),
                                         SplitBehavior::kIsolated, false);
    reader.add(std::move(split), true);
  }
  if (reader.result.ends_in_bytes) reader.result.steps.push_back(std::make_unique<ToByteLevel>());
  reader.result.ends_in_bytes = true;
  return true;
}

bool make_split(JsonFields& fields, Reader& reader) {
  auto pattern = read_text_pattern(fields.get("pattern"), fields.where("pattern"));
  auto behavior = read_split_behavior(fields.text("behavior"), fields.where("behavior"));
  reader.add(std::make_unique<Split>(std::move(pattern), behavior, fields.flag("invert")), true);
  return true;
}

bool make_digits(JsonFields& fields, Reader& reader) {
  auto behavior =
      fields.flag("individual_digits") ? SplitBehavior::kIsolated : SplitBehavior::kContiguous;
  reader.add(std::make_unique<SplitAt<is_number>>(behavior), true);
  return true;
}

bool make_punctuation(JsonFields& fields, Reader& reader) {
  auto behavior =
      read_split_behavior(fields.text_or("behavior", "Isolated"), fields.where("behavior"));
  reader.add(std::make_unique<SplitAt<is_punctuation8>>(behavior), true);
  return true;
}

bool make_whitespace(JsonFields&, Reader& reader) {
  reader.add(std::make_unique<Whitespace>(), true);
  return true;
}

bool make_whitespace_split(JsonFields&, Reader& reader) {
  reader.add(std::make_unique<SplitAt<is_white_space>>(SplitBehavior::kRemoved), true);
  return true;
}

bool make_metaspace(JsonFields& fields, Reader& reader) {
  fields.ignore({"str_rep"});
  std::string replacement = fields.text("replacement");
  if (replacement.empty() || utf8_length(replacement[0]) != replacement.size())
    fields.fail("replacement", "one character");
  std::string scheme = fields.text_or("prepend_scheme", "always");
  bool prefix = fields.flag_or("add_prefix_space", scheme != "never");
  if (!prefix && scheme != "never")
    fields.fail("add_prefix_space", "what prepend_scheme \"" + scheme + "\" says");
  using Prepend = Metaspace::Prepend;
  Prepend prepend = Prepend::kNever;
  if (scheme == "always")
    prepend = Prepend::kAlways;
  else if (scheme == "first")
    prepend = Prepend::kFirst;
  else if (scheme != "never")
    refuse(fields.where("prepend_scheme"), "\"" + scheme + "\"", "always, first, never");
  bool split = fields.flag_or("split", true);
  if (prepend == Prepend::kFirst) {
    reader.result.asks_for_start = true;
    reader.result.start_after_split |= reader.result.splits;
  }
  reader.add(std::make_unique<Metaspace>(replacement, prepend, split), split);
  return true;
}

constexpr Entry kPreTokenizers[] = {
    {"ByteLevel", make_byte_level},
    {"Split", make_split},
    {"Digits", make_digits},
    {"Punctuation", make_punctuation},
    {"Metaspace", make_metaspace},
    {"Whitespace", make_whitespace},
    {"WhitespaceSplit", make_whitespace_split},
    {"Sequence", make_sequence},
};

void Reader::read(const Json& value, const std::string& where) {
  JsonFields fields(value, where);
  read_typed(fields, kPreTokenizers, "pre-tokenizer", *this);
}

}  // namespace

PreTokenizers read_pre_tokenizer(const Json& value, const std::string& where) {
  Reader reader;
  if (!value.is_null()) reader.read(value, where);
  return std::move(reader.result);
}

}  // namespace littlebit::tokenizer
