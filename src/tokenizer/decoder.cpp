// A class per decoder of tokenizer.json and the one table that names them. A type or key that is
// not known here is refused.
#include "tokenizer/decoder.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>

#include "littlebit/core/strings.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/json_fields.h"
#include "tokenizer/text_pattern.h"
#include "tokenizer/unicode.h"

namespace littlebit::tokenizer {
namespace {

using Json = nlohmann::json;
using Tokens = std::vector<std::string>;

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  size_t copied = 0;
  for (size_t at = 0; (at = text.find(from, at)) != std::string_view::npos; copied = at) {
    out += text.substr(copied, at - copied);
    out += to;
    at += from.size();
  }
  return out += text.substr(copied);
}

// Bytes as text; what is not UTF-8 becomes U+FFFD, one for each longest part that could have begun
// a character.
std::string to_utf8_lossy(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  while (true) {
    size_t bad = invalid_utf8_at(bytes);
    if (bad == std::string::npos) return out += bytes;
    out += bytes.substr(0, bad);
    out += kReplacement;
    // How far the bad bytes agree with some character.
    auto byte = [&](size_t i) { return i < bytes.size() ? static_cast<uint8_t>(bytes[i]) : 0u; };
    auto within = [&](size_t i, unsigned low, unsigned high) {
      return byte(i) >= low && byte(i) <= high;
    };
    // The ranges of the second byte are those of well-formed UTF-8 (Unicode, table 3-7): no
    // overlong forms, no surrogates, nothing beyond U+10FFFF.
    size_t length = 1;
    unsigned first = byte(bad);
    unsigned low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    unsigned high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (first >= 0xE0 && first <= 0xF4 && within(bad + 1, low, high)) {
      length = 2;
      if (first >= 0xF0 && within(bad + 2, 0x80, 0xBF)) length = 3;
    }
    bytes.remove_prefix(bad + length);
  }
}

// All tokens' bytes together: a character may be divided between two tokens.
class FromByteLevel final : public Decoder {
 public:
  void apply(Tokens& tokens) const override {
    std::string bytes;
    for (const std::string& token : tokens) bytes += from_byte_level(token).value_or(token);
    tokens = {to_utf8_lossy(bytes)};
  }
};

class Replace final : public Decoder {
 public:
  Replace(TextPattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void apply(Tokens& tokens) const override {
    for (std::string& token : tokens) {
      std::string out;
      size_t copied = 0;
      pattern_.find_all(token, [&](size_t begin, size_t end) {
        out.append(token, copied, begin - copied);
        out += content_;
        copied = end;
      });
      if (copied == 0 && out.empty()) continue;
      out.append(token, copied, std::string::npos);
      token = std::move(out);
    }
  }

 private:
  TextPattern pattern_;
  std::string content_;
};

// <0x41> tokens to bytes; a run of them that is not UTF-8 becomes one U+FFFD a byte.
class ByteFallback final : public Decoder {
 public:
  void apply(Tokens& tokens) const override {
    Tokens out;
    std::string bytes;
    auto flush = [&] {
      if (bytes.empty()) return;
      if (invalid_utf8_at(bytes) == std::string::npos)
        out.push_back(bytes);
      else
        out.insert(out.end(), bytes.size(), std::string(kReplacement));
      bytes.clear();
    };
    for (std::string& token : tokens) {
      if (auto byte = byte_of(token)) {
        bytes.push_back(*byte);
        continue;
      }
      flush();
      out.push_back(std::move(token));
    }
    flush();
    tokens = std::move(out);
  }

 private:
  static std::optional<char> byte_of(std::string_view token) {
    if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
    std::string_view digits = token.substr(3, 2);
    if (digits[0] == '+') digits.remove_prefix(1);
    unsigned value = 0;
    auto [end, error] = std::from_chars(digits.begin(), digits.end(), value, 16);
    if (error != std::errc() || end != digits.end()) return std::nullopt;
    return static_cast<char>(value);
  }
};

class Fuse final : public Decoder {
 public:
  void apply(Tokens& tokens) const override {
    std::string all;
    for (const std::string& token : tokens) all += token;
    tokens = {std::move(all)};
  }
};

// Takes up to `start` and `stop` times a character off the ends of each token.
class Strip final : public Decoder {
 public:
  Strip(std::string content, size_t start, size_t stop)
      : content_(std::move(content)), start_(start), stop_(stop) {}
  void apply(Tokens& tokens) const override {
    for (std::string& token : tokens) {
      size_t begin = 0, end = token.size();
      for (size_t i = 0; i < start_ && token.compare(begin, content_.size(), content_) == 0; ++i)
        begin += content_.size();
      for (size_t i = 0; i < stop_ && end >= begin + content_.size() &&
                         token.compare(end - content_.size(), content_.size(), content_) == 0;
           ++i)
        end -= content_.size();
      token = token.substr(begin, end - begin);
    }
  }

 private:
  std::string content_;
  size_t start_, stop_;
};

class Metaspace final : public Decoder {
 public:
  Metaspace(std::string replacement, bool drops_first)
      : replacement_(std::move(replacement)), drops_first_(drops_first) {}
  void apply(Tokens& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i)
      tokens[i] = replaced(tokens[i], replacement_, i == 0 && drops_first_ ? "" : " ");
  }

 private:
  std::string replacement_;
  bool drops_first_;
};

class BpeDecoder final : public Decoder {
 public:
  explicit BpeDecoder(std::string suffix) : suffix_(std::move(suffix)) {}
  void apply(Tokens& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i)
      tokens[i] = replaced(tokens[i], suffix_, i + 1 == tokens.size() ? "" : " ");
  }

 private:
  std::string suffix_;
};

class Sequence final : public Decoder {
 public:
  explicit Sequence(std::vector<std::unique_ptr<Decoder>> steps) : steps_(std::move(steps)) {}
  void apply(Tokens& tokens) const override {
    for (const auto& step : steps_) step->apply(tokens);
  }

 private:
  std::vector<std::unique_ptr<Decoder>> steps_;
};

using Made = std::unique_ptr<Decoder>;

std::string one_character(JsonFields& fields, const char* key) {
  std::string text = fields.text(key);
  if (text.empty() || utf8_length(text[0]) != text.size()) fields.fail(key, "one character");
  return text;
}

Made make_byte_level(JsonFields& fields) {
  fields.ignore({"add_prefix_space", "trim_offsets", "use_regex"});
  return std::make_unique<FromByteLevel>();
}

Made make_replace(JsonFields& fields) {
  auto pattern = read_text_pattern(fields.get("pattern"), fields.where("pattern"));
  return std::make_unique<Replace>(std::move(pattern), fields.text("content"));
}

Made make_strip(JsonFields& fields) {
  constexpr int64_t kMax = 1 << 20;
  std::string content = one_character(fields, "content");
  auto start = static_cast<size_t>(fields.integer("start", 0, kMax));
  auto stop = static_cast<size_t>(fields.integer("stop", 0, kMax));
  return std::make_unique<Strip>(content, start, stop);
}

Made make_metaspace(JsonFields& fields) {
  fields.ignore({"str_rep", "split"});
  std::string replacement = one_character(fields, "replacement");
  std::string scheme = fields.text_or("prepend_scheme", "always");
  if (scheme != "always" && scheme != "first" && scheme != "never")
    refuse(fields.where("prepend_scheme"), "\"" + scheme + "\"", "always, first, never");
  if (!fields.flag_or("add_prefix_space", scheme != "never") && scheme != "never")
    fields.fail("add_prefix_space", "what prepend_scheme \"" + scheme + "\" says");
  return std::make_unique<Metaspace>(replacement, scheme != "never");
}

Made make_bpe(JsonFields& fields) {
  std::string suffix = fields.text("suffix");
  if (suffix.empty()) refuse(fields.where("suffix"), "an empty suffix", "one with characters");
  return std::make_unique<BpeDecoder>(suffix);
}

Made make_sequence(JsonFields& fields) {
  std::vector<Made> steps;
  for (const Json& step : fields.array("decoders"))
    if (auto made = read_decoder(step, fields.where("decoders"))) steps.push_back(std::move(made));
  return std::make_unique<Sequence>(std::move(steps));
}

struct Entry {
  const char* type;
  Made (*make)(JsonFields& fields);
};
constexpr Entry kDecoders[] = {
    {"ByteLevel", make_byte_level},
    {"Replace", make_replace},
    {"ByteFallback", [](JsonFields&) -> Made { return std::make_unique<ByteFallback>(); }},
    {"Fuse", [](JsonFields&) -> Made { return std::make_unique<Fuse>(); }},
    {"Strip", make_strip},
    {"Metaspace", make_metaspace},
    {"BPEDecoder", make_bpe},
    {"Sequence", make_sequence},
};

}  // namespace

std::unique_ptr<Decoder> read_decoder(const Json& value, const std::string& where) {
  if (value.is_null()) return nullptr;
  JsonFields fields(value, where);
  return read_typed(fields, kDecoders, "decoder");
}

}  // namespace littlebit::tokenizer
