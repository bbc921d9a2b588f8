// Templates: parsing, fields by path, and the table of named functions. "Question:
// {question|strip}" has two parts, a text and a field with one function; {{ and }} are braces.
#include "littlebit/eval/text_template.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/tokenizer/python_text.h"

namespace littlebit {
namespace {

// HellaSwag's preprocessing: strip; " [title]" becomes ". "; what stands in brackets goes, with the
// shortest match and within a line; pairs of spaces become one, once, from left to right.
std::string hellaswag_clean(std::string_view text) {
  constexpr std::string_view kTitle = " [title]";
  text = python_strip(text);
  std::string titled;
  for (size_t at = 0; at < text.size();) {
    const bool title = text.substr(at).starts_with(kTitle);
    titled += title ? ". " : text.substr(at, 1);
    at += title ? kTitle.size() : 1;
  }
  std::string bare;
  for (size_t at = 0; at < titled.size();) {
    const size_t end = titled[at] == '[' ? titled.find_first_of("]\n", at) : std::string::npos;
    if (end != std::string::npos && titled[end] == ']') {
      at = end + 1;
    } else {
      bare += titled[at++];
    }
  }
  std::string single;
  for (size_t at = 0; at < bare.size(); ++at) {
    single += bare[at];
    if (bare.compare(at, 2, "  ") == 0) ++at;
  }
  return single;
}

size_t blank_at(std::string_view text) {
  const size_t at = text.find('_');
  if (at == std::string_view::npos)
    throw InputError("there is no \"_\" in \"" + std::string(text) + "\"");
  return at;
}

// Where the last word begins, as Python's split(" ") divides: 0 in a text without a space.
size_t last_word_at(std::string_view text) {
  const size_t space = text.rfind(' ');
  return space == std::string_view::npos ? 0 : space + 1;
}

struct NamedFunction {
  const char* name;
  std::string (*apply)(std::string_view);
};
constexpr NamedFunction kFunctions[] = {
    {"strip", [](std::string_view text) { return std::string(python_strip(text)); }},
    {"lstrip", [](std::string_view text) { return std::string(python_lstrip(text)); }},
    {"rstrip", [](std::string_view text) { return std::string(python_rstrip(text)); }},
    {"capitalize", python_capitalize},
    {"hellaswag_clean", hellaswag_clean},
    {"before_blank",
     [](std::string_view text) { return std::string(text.substr(0, blank_at(text))); }},
    {"after_blank",
     [](std::string_view text) { return std::string(text.substr(blank_at(text) + 1)); }},
    {"before_last_word",
     [](std::string_view text) {
       const size_t at = last_word_at(text);
       return std::string(text.substr(0, at == 0 ? 0 : at - 1));
     }},
    {"last_word",
     [](std::string_view text) { return std::string(text.substr(last_word_at(text))); }},
    {"spaced",
     [](std::string_view text) {
       std::string spaced(text);
       std::replace(spaced.begin(), spaced.end(), '_', ' ');
       return spaced;
     }},
};

std::string did_you_mean(const std::string& name, const std::vector<std::string>& names) {
  if (const auto near = nearest_name(name, names)) return "; did you mean '" + *near + "'?";
  return names.empty() ? "" : "; there are " + join(names, ", ");
}

std::vector<std::string> keys_of(const Json& value) {
  std::vector<std::string> keys;
  for (const auto& [key, member] : value.items()) keys.push_back(key);
  return keys;
}

// The member `name` of `value`; `path` is what the template calls it.
const Json& member(const Json& value, const std::string& name, const std::string& path) {
  if (value.is_object()) {
    const auto found = value.find(name);
    if (found != value.end()) return *found;
    throw InputError("there is no field '" + path + "'" + did_you_mean(name, keys_of(value)));
  }
  size_t place = 0;
  const auto parsed = std::from_chars(name.data(), name.data() + name.size(), place);
  if (value.is_array() && parsed.ec == std::errc() && parsed.ptr == name.data() + name.size()) {
    if (place < value.size()) return value[place];
    throw InputError("there is no field '" + path + "': the list has " +
                     std::to_string(value.size()) + " element(s)");
  }
  throw InputError("there is no field '" + path + "': what should hold it is " + value.type_name());
}

std::string text_of(const Json& value, const std::string& path) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_integer() || value.is_boolean()) return to_json_line(value);
  std::string shown = to_json_line(value);
  if (shown.size() > 60) shown = value.type_name();
  throw InputError("the field '" + path + "' must be a text, an integer, true or false, found " +
                   shown);
}

}  // namespace

TemplateFields::TemplateFields(const Json& record)
    : record_(record), made_(std::make_unique<Json>(Json::object())) {}
TemplateFields::~TemplateFields() = default;

void TemplateFields::set(const std::string& name, std::string text) {
  (*made_)[name] = std::move(text);
}

const Json& TemplateFields::at(const std::string& path) const {
  const std::vector<std::string> names = split(path, '.');
  // Fields that the task makes hide those of the record.
  const Json* value = made_->contains(names[0]) ? &*made_ : &record_;
  for (const std::string& name : names) value = &member(*value, name, path);
  return *value;
}

// Parsed when a task is read, so that a mistake in a template is an error before any record is.
TextTemplate::TextTemplate(std::string_view text) {
  std::string plain;
  const auto end_plain = [&] {
    if (!plain.empty()) parts_.push_back({.text = plain});
    plain.clear();
  };
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c != '{' && c != '}') {
      plain += c;
    } else if (at + 1 < text.size() && text[at + 1] == c) {
      plain += c;
      ++at;
    } else {
      const size_t end = c == '{' ? text.find_first_of("{}", at + 1) : std::string_view::npos;
      if (end == std::string_view::npos || text[end] != '}') {
        throw UsageError(std::string("a '") + c +
                         "' without its partner; a brace itself is written " + "twice");
      }
      end_plain();
      parts_.push_back(parse_place(text.substr(at + 1, end - at - 1)));
      at = end;
    }
  }
  end_plain();
}

TextTemplate::Part TextTemplate::parse_place(std::string_view place) {
  const std::vector<std::string> words = split(place, '|');
  Part part{.text = words[0], .is_field = true};
  for (const std::string& name : split(part.text, '.')) {
    if (name.empty() || name != trim(name)) {
      throw UsageError("'{" + std::string(place) + "}' names no field: expected {field}, " +
                       "{field.inner} or {field|function}");
    }
  }
  for (size_t i = 1; i < words.size(); ++i) {
    const auto found = std::find_if(std::begin(kFunctions), std::end(kFunctions),
                                    [&](const NamedFunction& f) { return words[i] == f.name; });
    if (found == std::end(kFunctions)) {
      throw UsageError("unknown function '" + words[i] + "'" +
                       did_you_mean(words[i], template_functions()));
    }
    part.functions.push_back(found->apply);
  }
  return part;
}

std::string TextTemplate::apply(const Part& part, const Json& value) {
  std::string text = text_of(value, part.text);
  for (const Function function : part.functions) text = function(text);
  return text;
}

std::string TextTemplate::fill(const TemplateFields& fields) const {
  std::string text;
  for (const Part& part : parts_) {
    text += part.is_field ? apply(part, fields.at(part.text)) : part.text;
  }
  return text;
}

std::vector<std::string> TextTemplate::fill_each(const TemplateFields& fields) const {
  if (parts_.size() == 1 && parts_[0].is_field) {
    const Json& value = fields.at(parts_[0].text);
    if (value.is_array()) {
      std::vector<std::string> texts;
      for (const Json& element : value) texts.push_back(apply(parts_[0], element));
      return texts;
    }
  }
  return {fill(fields)};
}

bool TextTemplate::names(std::string_view field) const {
  return std::any_of(parts_.begin(), parts_.end(),
                     [&](const Part& part) { return part.is_field && part.text == field; });
}

std::vector<std::string> template_functions() {
  std::vector<std::string> names;
  for (const NamedFunction& function : kFunctions) names.emplace_back(function.name);
  return names;
}

}  // namespace littlebit
