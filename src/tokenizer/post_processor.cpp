// Post-processors of tokenizer.json, each reduced to the ids before and behind a text. What cannot
// be said so is refused.
#include "tokenizer/post_processor.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "littlebit/core/error.h"
#include "tokenizer/json_fields.h"
#include "tokenizer/model.h"

namespace littlebit::tokenizer {
namespace {

using Json = nlohmann::json;

struct Reader {
  std::optional<PostProcessor> found;  // by a template; ByteLevel changes no ids
  void read(const Json& value, const std::string& where);
};

PostProcessor::Part read_part(const Json& value, const Json& specials, const std::string& where) {
  JsonFields piece(value, where);
  if (piece.has("Sequence")) {
    JsonFields sequence(piece.get("Sequence"), where + ".Sequence");
    sequence.ignore({"type_id"});
    if (sequence.text("id") != "A")
      refuse(where, "a second text in the template for one", "the sequence A");
    sequence.done();
    piece.done();
    return {.is_text = true, .ids = {}};
  }
  JsonFields token(piece.get("SpecialToken"), where + ".SpecialToken");
  token.ignore({"type_id"});
  std::string id = token.text("id");
  token.done();
  piece.done();
  auto it = specials.find(id);
  if (it == specials.end())
    throw InputError(where + ": \"" + id + "\" is not among the template's special_tokens");
  JsonFields special(*it, where + ".special_tokens." + id);
  special.ignore({"id", "tokens"});
  PostProcessor::Part part;
  for (const Json& number : special.array("ids")) {
    if (!number.is_number_integer() || number < 0 || number >= kMaxIds)
      special.fail("ids", "token ids");
    part.ids.push_back(number.get<int32_t>());
  }
  special.done();
  return part;
}

bool make_template(JsonFields& fields, Reader& reader) {
  fields.ignore({"pair"});
  if (reader.found) refuse(fields.where(), "a template after a template", "one of them");
  PostProcessor made;
  made.parts.clear();
  const Json& specials = fields.object("special_tokens");
  const Json& single = fields.array("single");
  if (single.size() > 1000) fields.fail("single", "at most 1000 parts");
  for (const Json& piece : single)
    made.parts.push_back(read_part(piece, specials, fields.where("single")));
  reader.found = std::move(made);
  return true;
}

bool make_byte_level(JsonFields& fields, Reader&) {
  fields.ignore({"add_prefix_space", "trim_offsets", "use_regex"});
  return true;
}

bool make_sequence(JsonFields& fields, Reader& reader) {
  for (const Json& step : fields.array("processors")) reader.read(step, fields.where("processors"));
  return true;
}

struct Entry {
  const char* type;
  bool (*make)(JsonFields& fields, Reader& reader);
};
constexpr Entry kPostProcessors[] = {
    {"TemplateProcessing", make_template},
    {"ByteLevel", make_byte_level},
    {"Sequence", make_sequence},
};

void Reader::read(const Json& value, const std::string& where) {
  JsonFields fields(value, where);
  read_typed(fields, kPostProcessors, "post-processor", *this);
}

}  // namespace

std::vector<int32_t> PostProcessor::apply(std::vector<int32_t> text,
                                          bool add_special_tokens) const {
  if (parts.size() == 1 && parts[0].is_text) return text;
  std::vector<int32_t> out;
  out.reserve(text.size() + parts.size());
  for (const Part& part : parts) {
    if (part.is_text)
      out.insert(out.end(), text.begin(), text.end());
    else if (add_special_tokens)
      out.insert(out.end(), part.ids.begin(), part.ids.end());
  }
  return out;
}

PostProcessor read_post_processor(const Json& value, const std::string& where) {
  Reader reader;
  if (!value.is_null()) reader.read(value, where);
  return reader.found.value_or(PostProcessor{});
}

PostProcessor surround(std::vector<int32_t> before, std::vector<int32_t> after) {
  PostProcessor made;
  if (!before.empty())
    made.parts.insert(made.parts.begin(), {.is_text = false, .ids = std::move(before)});
  if (!after.empty()) made.parts.push_back({.is_text = false, .ids = std::move(after)});
  return made;
}

}  // namespace littlebit::tokenizer
