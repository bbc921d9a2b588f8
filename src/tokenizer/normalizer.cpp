// A class per normalizer of tokenizer.json and the one table that names them. A type or key that is
// not known here is refused.
#include "tokenizer/normalizer.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "littlebit/core/error.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/json_fields.h"
#include "tokenizer/normal_form.h"
#include "tokenizer/text_pattern.h"
#include "tokenizer/unicode.h"

namespace littlebit::tokenizer {
namespace {

using Json = nlohmann::json;

class InNormalForm final : public Normalizer {
 public:
  explicit InNormalForm(NormalForm form) : form_(form) {}
  bool apply(std::string& text) const override {
    text = normal_form(form_, text);
    return true;
  }

 private:
  NormalForm form_;
};

class Prepend final : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  bool apply(std::string& text) const override {
    if (!text.empty()) text.insert(0, prefix_);
    return true;
  }

 private:
  std::string prefix_;
};

class Replace final : public Normalizer {
 public:
  Replace(TextPattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  bool apply(std::string& text) const override {
    std::string out;
    out.reserve(text.size() + text.size() / 2);
    size_t copied = 0;
    bool front = true;
    pattern_.find_all(text, [&](size_t begin, size_t end) {
      out.append(text, copied, begin - copied);
      // Something at the very beginning was replaced by nothing.
      if (out.empty() && content_.empty() && end > 0) front = false;
      out += content_;
      copied = end;
    });
    out.append(text, copied, std::string::npos);
    text = std::move(out);
    return front;
  }

 private:
  TextPattern pattern_;
  std::string content_;
};

class Lowercase final : public Normalizer {
 public:
  bool apply(std::string& text) const override {
    std::string out;
    out.reserve(text.size());
    for (size_t at = 0; at < text.size(); at += utf8_length(text[at]))
      append_lower(out, code_point_at(text, at));
    text = std::move(out);
    return true;
  }
};

class Strip final : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  bool apply(std::string& text) const override {
    if (right_) text.resize(white_space_begin(text, text.size()));
    size_t begin = left_ ? white_space_end(text, 0) : 0;
    text.erase(0, begin);
    return begin == 0;
  }

 private:
  bool left_, right_;
};

class StripAccents final : public Normalizer {
 public:
  bool apply(std::string& text) const override {
    bool front = text.empty() || !is_mark9(code_point_at(text, 0));
    std::string out;
    out.reserve(text.size());
    for (size_t at = 0; at < text.size(); at += utf8_length(text[at]))
      if (!is_mark9(code_point_at(text, at))) out.append(text, at, utf8_length(text[at]));
    text = std::move(out);
    return front;
  }
};

class ToByteLevel final : public Normalizer {
 public:
  bool apply(std::string& text) const override {
    text = to_byte_level(text);
    return true;
  }
};

class Sequence final : public Normalizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<Normalizer>> steps) : steps_(std::move(steps)) {}
  bool apply(std::string& text) const override {
    bool front = true;
    for (const auto& step : steps_) front &= step->apply(text);
    return front;
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> steps_;
};

template <NormalForm form>
std::unique_ptr<Normalizer> make_normal_form(JsonFields&) {
  return std::make_unique<InNormalForm>(form);
}

std::unique_ptr<Normalizer> make_replace(JsonFields& fields) {
  auto pattern = read_text_pattern(fields.get("pattern"), fields.where("pattern"));
  // There Hugging Face's own code loses its place in the text.
  if (pattern.may_match_nothing())
    refuse(fields.where("pattern"), "a pattern that may match nothing",
           "patterns that match some text");
  return std::make_unique<Replace>(std::move(pattern), fields.text("content"));
}

std::unique_ptr<Normalizer> make_sequence(JsonFields& fields) {
  std::vector<std::unique_ptr<Normalizer>> steps;
  for (const Json& step : fields.array("normalizers"))
    if (auto made = read_normalizer(step, fields.where("normalizers")))
      steps.push_back(std::move(made));
  return std::make_unique<Sequence>(std::move(steps));
}

struct Entry {
  const char* type;
  std::unique_ptr<Normalizer> (*make)(JsonFields& fields);
};
constexpr Entry kNormalizers[] = {
    {"NFC", make_normal_form<NormalForm::kNfc>},
    {"NFD", make_normal_form<NormalForm::kNfd>},
    {"NFKC", make_normal_form<NormalForm::kNfkc>},
    {"NFKD", make_normal_form<NormalForm::kNfkd>},
    {"Prepend",
     [](JsonFields& f) -> std::unique_ptr<Normalizer> {
       return std::make_unique<Prepend>(f.text("prepend"));
     }},
    {"Replace", make_replace},
    {"Lowercase",
     [](JsonFields&) -> std::unique_ptr<Normalizer> { return std::make_unique<Lowercase>(); }},
    {"Strip",
     [](JsonFields& f) -> std::unique_ptr<Normalizer> {
       return std::make_unique<Strip>(f.flag("strip_left"), f.flag("strip_right"));
     }},
    {"StripAccents",
     [](JsonFields&) -> std::unique_ptr<Normalizer> { return std::make_unique<StripAccents>(); }},
    {"ByteLevel",
     [](JsonFields&) -> std::unique_ptr<Normalizer> { return std::make_unique<ToByteLevel>(); }},
    {"Sequence", make_sequence},
};

}  // namespace

std::unique_ptr<Normalizer> read_normalizer(const Json& value, const std::string& where) {
  if (value.is_null()) return nullptr;
  JsonFields fields(value, where);
  return read_typed(fields, kNormalizers, "normalizer");
}

}  // namespace littlebit::tokenizer
