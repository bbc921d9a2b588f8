// The small language of task files: text with places for the fields of a record.
//
//   "Question: {goal}\nAnswer:"    the field `goal` as it is
//   "{choices.text}"               a field inside a field; a number is a place in a list
//   "{ctx_b|strip|capitalize}"     through named functions, from left to right
//   "{{" and "}}"                  braces
//
// A template is checked when it is made and immutable afterwards. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "littlebit/io/json.h"

namespace littlebit {

// What a template's places stand for: a record of the data, and texts made from it, which come
// first. The record outlives it.
class TemplateFields {
 public:
  explicit TemplateFields(const Json& record);
  ~TemplateFields();
  void set(const std::string& name, std::string text);

  // InputError (without a place in a file) where there is no such field, with the nearest name.
  const Json& at(const std::string& path) const;

 private:
  const Json& record_;
  std::unique_ptr<Json> made_;  // an object
};

class TextTemplate {
 public:
  TextTemplate() = default;
  // UsageError (without a place) for a brace without partner, an empty name, an unknown function.
  explicit TextTemplate(std::string_view text);

  // The text for one record. Texts are taken as they are, integers in
  // decimal, true and false as such. InputError (without
  // a place): a field that is missing or holds something else, a function that cannot be applied.
  std::string fill(const TemplateFields& fields) const;

  // Where the template is nothing but one place and its field a list: a text per element, each
  // through the functions. Otherwise fill() alone.
  std::vector<std::string> fill_each(const TemplateFields& fields) const;

  bool names(std::string_view field) const;  // whether it has a place for `field`

 private:
  using Function = std::string (*)(std::string_view);
  struct Part {
    std::string text;  // of the template, or the field's path
    bool is_field = false;
    std::vector<Function> functions;
  };
  static Part parse_place(std::string_view place);
  static std::string apply(const Part& part, const Json& value);
  std::vector<Part> parts_;
};

// The named functions (docs/evaluation.md), each UTF-8 text -> text:
//   strip, lstrip, rstrip, capitalize    as Python's str has them
//   hellaswag_clean                      marks in brackets removed (specs/zeroshot section 3)
//   before_blank, after_blank            the text in front of the first "_", and behind it
//   before_last_word, last_word          the text in front of the last space, and behind it
//   spaced                               a space for each "_"
std::vector<std::string> template_functions();

}  // namespace littlebit
