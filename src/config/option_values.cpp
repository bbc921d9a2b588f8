// What each kind of option accepts. Strict: a number is a number in one notation, a flag is true or
// false, and text in quotes is text. A value equal to the default is accepted even outside the
// range, so that what was printed can be read.
#include "config/option_values.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>

#include "littlebit/config/option_group.h"
#include "littlebit/core/error.h"
#include "littlebit/core/home.h"
#include "littlebit/core/strings.h"

namespace littlebit {
namespace {

std::string got(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return "nothing";
    case YamlNode::Kind::kList:
      return "a list";
    case YamlNode::Kind::kMap:
      return "a mapping";
    case YamlNode::Kind::kScalar:
      return node.quoted ? "the text " + shown(node.text) : shown(node.text);
  }
  return "";
}

bool is_plain(const YamlNode& node) { return node.kind == YamlNode::Kind::kScalar && !node.quoted; }

// "" or, for a number in quotes, how to give it.
std::string quotes_hint(const YamlNode& node) {
  if (node.kind != YamlNode::Kind::kScalar || !node.quoted) return "";
  double number = 0;
  const char* end = node.text.data() + node.text.size();
  const bool whole = std::from_chars(node.text.data(), end, number).ptr == end;
  const bool plain = whole || node.text == "true" || node.text == "false";
  return plain && !node.text.empty() ? "; write it without quotes: " + node.text : "";
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view without_plus(std::string_view text) {
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  return text;
}

// Names with commas between them, of which a list is meant.
bool looks_like_list(const std::string& text) {
  const std::vector<std::string> parts = split(text, ',');
  return parts.size() > 1 && std::all_of(parts.begin(), parts.end(), [](std::string_view part) {
           part = trim(part);
           return !part.empty() && std::all_of(part.begin(), part.end(), [](char c) {
             return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-';
           });
         });
}

class FlagValue : public OptionValue {
 public:
  explicit FlagValue(bool* value) : value_(value) {}
  std::string assign(const YamlDocument&, const YamlNode& node) override {
    if (!is_plain(node) || (node.text != "true" && node.text != "false")) {
      return "expected true or false, got " + got(node) + quotes_hint(node);
    }
    *value_ = node.text == "true";
    return "";
  }
  std::string text() const override { return *value_ ? "true" : "false"; }
  std::string allowed() const override { return "true or false"; }

 private:
  bool* value_;
};

class IntegerValue : public OptionValue {
 public:
  IntegerValue(int64_t* value, IntegerRange range)
      : value_(value), default_(*value), range_(range) {}

  std::string assign(const YamlDocument&, const YamlNode& node) override {
    const std::string_view digits = without_plus(node.text);
    int64_t parsed = 0;
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), parsed);
    const size_t sign = digits.starts_with('-') ? 1 : 0;
    const bool octal = digits.size() > sign + 1 && digits[sign] == '0';  // to other YAML readers
    if (!is_plain(node) || digits.empty() || octal || result.ptr != digits.data() + digits.size() ||
        result.ec == std::errc::invalid_argument) {
      return "expected an integer, got " + got(node) + quotes_hint(node);
    }
    if (result.ec == std::errc::result_out_of_range) {
      return "expected a 64-bit integer, got " + got(node);
    }
    if ((parsed < range_.min || parsed > range_.max) && parsed != default_) {
      return "expected an " + allowed() + ", got " + got(node);
    }
    *value_ = parsed;
    return "";
  }
  std::string text() const override { return print_integer(*value_); }
  std::string allowed() const override {
    const bool low = range_.min != IntegerRange{}.min, high = range_.max != IntegerRange{}.max;
    const std::string least = print_integer(range_.min), most = print_integer(range_.max);
    if (low && high) return "integer from " + least + " to " + most;
    if (low) return "integer of at least " + least;
    if (high) return "integer of at most " + most;
    return "integer";
  }

 private:
  int64_t* value_;
  int64_t default_;
  IntegerRange range_;
};

class NumberValue : public OptionValue {
 public:
  NumberValue(double* value, NumberRange range) : value_(value), default_(*value), range_(range) {
    LB_ASSERT(std::isfinite(*value), "the default of a number option is finite");
  }

  std::string assign(const YamlDocument&, const YamlNode& node) override {
    const std::string_view text = without_plus(node.text);
    double parsed = 0;
    const auto result = std::from_chars(text.data(), text.data() + text.size(), parsed);
    // from_chars knows inf and nan; a number of ours begins with a digit.
    const size_t sign = text.starts_with('-') ? 1 : 0;
    const size_t first = sign + (text.substr(sign).starts_with('.') ? 1 : 0);
    if (!is_plain(node) || first >= text.size() || !is_digit(text[first]) ||
        result.ptr != text.data() + text.size()) {
      return "expected a finite number, got " + got(node) + quotes_hint(node);
    }
    if (result.ec == std::errc::result_out_of_range) {
      return "expected a 64-bit floating-point number, got " + got(node);
    }
    const bool too_small = range_.min_open ? parsed <= range_.min : parsed < range_.min;
    if ((too_small || parsed > range_.max) && parsed != default_) {
      return "expected a " + allowed() + ", got " + got(node);
    }
    *value_ = parsed;
    return "";
  }
  std::string text() const override { return print_number(*value_); }
  std::string allowed() const override {
    std::string text = "number";
    const bool high = std::isfinite(range_.max);
    if (std::isfinite(range_.min)) {
      text += (range_.min_open ? " greater than " : " of at least ") + print_number(range_.min);
      if (high) text += " and at most " + print_number(range_.max);
    } else if (high) {
      text += " of at most " + print_number(range_.max);
    }
    return text;
  }

 private:
  double* value_;
  double default_;
  NumberRange range_;
};

class TextValue : public OptionValue {
 public:
  explicit TextValue(std::string* value) : value_(value) {}
  std::string assign(const YamlDocument&, const YamlNode& node) override {
    if (node.kind != YamlNode::Kind::kScalar) return "expected a text, got " + got(node);
    *value_ = node.text;
    return "";
  }
  std::string text() const override { return print_text(*value_); }
  std::string allowed() const override { return "text"; }
  WordForm word_form() const override { return WordForm::kLiteral; }

 private:
  std::string* value_;
};

class PathValue : public OptionValue {
 public:
  explicit PathValue(std::filesystem::path* value) : value_(value) {}
  std::string assign(const YamlDocument&, const YamlNode& node) override {
    if (node.kind != YamlNode::Kind::kScalar) return "expected a path, got " + got(node);
    if (node.text.find('\0') != std::string::npos) return "expected a path, got " + got(node);
    try {
      *value_ = expand_home(node.text);
    } catch (const UsageError& error) {
      return std::string(error.what()) + "; " + error.hint();
    }
    return "";
  }
  std::string text() const override { return print_text(value_->string()); }
  std::string allowed() const override { return "path"; }
  WordForm word_form() const override { return WordForm::kLiteral; }

 private:
  std::filesystem::path* value_;
};

class TextsValue : public OptionValue {
 public:
  explicit TextsValue(std::vector<std::string>* values) : values_(values) {}
  std::string assign(const YamlDocument& document, const YamlNode& node) override {
    std::vector<std::string> parsed;
    if (node.kind == YamlNode::Kind::kScalar) {
      if (!node.quoted && looks_like_list(node.text)) {
        return "expected a list of texts, got " + got(node) + "; write a list in brackets: [" +
               node.text + "], and a text with a comma in quotes";
      }
      parsed.push_back(node.text);
    } else if (node.kind == YamlNode::Kind::kList) {
      for (const uint32_t index : node.children) {
        const YamlNode& item = document.at(index);
        if (item.kind != YamlNode::Kind::kScalar) {
          return "expected a list of texts, got " + got(item) + " in it";
        }
        parsed.push_back(item.text);
      }
    } else {
      return "expected a list of texts, got " + got(node);
    }
    *values_ = std::move(parsed);
    return "";
  }
  std::string text() const override {
    std::vector<std::string> items;
    for (const std::string& value : *values_) items.push_back(print_text(value));
    return "[" + join(items, ", ") + "]";
  }
  std::string allowed() const override { return "list of texts"; }
  WordForm word_form() const override { return WordForm::kLiteralOrList; }

 private:
  std::vector<std::string>* values_;
};

class ChoiceValue : public OptionValue {
 public:
  ChoiceValue(std::function<int()> get, std::function<void(int)> set,
              std::vector<std::string> choices)
      : get_(std::move(get)), set_(std::move(set)), choices_(std::move(choices)) {
    LB_ASSERT(get_() >= 0 && static_cast<size_t>(get_()) < choices_.size(),
              "the default of a choice is one of its values");
  }
  std::string assign(const YamlDocument&, const YamlNode& node) override {
    for (size_t i = 0; node.kind == YamlNode::Kind::kScalar && i < choices_.size(); ++i) {
      if (choices_[i] != node.text) continue;
      set_(static_cast<int>(i));
      return "";
    }
    std::string wrong = "expected " + allowed() + ", got " + got(node);
    const auto nearest = nearest_name(node.text, choices_);
    if (nearest && choices_.size() > 3) wrong += "; did you mean `" + *nearest + "`?";
    return wrong;
  }
  std::string text() const override { return print_text(choices_[static_cast<size_t>(get_())]); }
  std::string allowed() const override {
    if (choices_.size() == 1) return choices_[0];
    return join(std::span(choices_).first(choices_.size() - 1), ", ") + " or " + choices_.back();
  }

 private:
  std::function<int()> get_;
  std::function<void(int)> set_;
  std::vector<std::string> choices_;
};

}  // namespace

std::unique_ptr<OptionValue> flag_value(bool* value) { return std::make_unique<FlagValue>(value); }
std::unique_ptr<OptionValue> integer_value(int64_t* value, IntegerRange range) {
  return std::make_unique<IntegerValue>(value, range);
}
std::unique_ptr<OptionValue> number_value(double* value, NumberRange range) {
  return std::make_unique<NumberValue>(value, range);
}
std::unique_ptr<OptionValue> text_value(std::string* value) {
  return std::make_unique<TextValue>(value);
}
std::unique_ptr<OptionValue> path_value(std::filesystem::path* value) {
  return std::make_unique<PathValue>(value);
}
std::unique_ptr<OptionValue> texts_value(std::vector<std::string>* values) {
  return std::make_unique<TextsValue>(values);
}
std::unique_ptr<OptionValue> choice_value(std::function<int()> get, std::function<void(int)> set,
                                          std::vector<std::string> choices) {
  return std::make_unique<ChoiceValue>(std::move(get), std::move(set), std::move(choices));
}

}  // namespace littlebit
