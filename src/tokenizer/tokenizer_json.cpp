// Vocabulary, model, added tokens and the other parts out of tokenizer.json. Keys that nobody asked
// for are refused; an added token whose id the vocabulary contradicts is an error.
#include "tokenizer/tokenizer_json.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "tokenizer/bpe.h"
#include "tokenizer/json_fields.h"
#include "tokenizer/model.h"
#include "tokenizer/tokenizer_config.h"
#include "tokenizer/unigram.h"

namespace littlebit::tokenizer {
namespace {

using Json = nlohmann::json;

void read_vocabulary(const Json& json, const std::string& where, Vocabulary& vocabulary) {
  vocabulary.reserve(json.size());
  for (const auto& [token, id] : json.items()) {
    if (!id.is_number_integer() || id < 0 || id >= kMaxIds)
      throw InputError(where + ": the id of \"" + token + "\" is not a token id");
    vocabulary.emplace(token, id.get<int32_t>());
  }
  check_vocabulary(vocabulary, where);
}

// "a b" or ["a", "b"]; all of one kind.
std::vector<std::pair<std::string, std::string>> read_merges(const Json& json,
                                                             const std::string& where) {
  std::vector<std::pair<std::string, std::string>> merges;
  merges.reserve(json.size());
  bool as_text = !json.empty() && json[0].is_string();
  for (const Json& item : json) {
    auto fail = [&] {
      throw InputError(where + ": entry " + std::to_string(merges.size()) +
                       " is not a pair of tokens: expected " +
                       (as_text ? "\"a b\"" : "[\"a\", \"b\"]"));
    };
    if (as_text) {
      if (!item.is_string()) fail();
      const auto& line = item.get_ref<const std::string&>();
      if (line.starts_with("#version")) continue;
      size_t space = line.find(' ');
      if (space == std::string::npos || line.find(' ', space + 1) != std::string::npos) fail();
      merges.emplace_back(line.substr(0, space), line.substr(space + 1));
    } else {
      if (!item.is_array() || item.size() != 2 || !item[0].is_string() || !item[1].is_string())
        fail();
      merges.emplace_back(item[0].get<std::string>(), item[1].get<std::string>());
    }
  }
  return merges;
}

std::unique_ptr<Model> make_bpe_model(JsonFields& fields, PipelineParts& parts) {
  read_vocabulary(fields.object("vocab"), fields.where("vocab"), *parts.vocabulary);
  if (fields.has("dropout") && !(fields.get("dropout").is_number() && fields.get("dropout") == 0.0))
    refuse(fields.where("dropout"), "dropout", "none");
  BpeSettings settings;
  settings.merges = read_merges(fields.array("merges"), fields.where("merges"));
  if (fields.has("unk_token") && fields.text("unk_token").empty())
    refuse(fields.where("unk_token"), "an empty unknown token", "null or a token");
  settings.unk_token = fields.text_or("unk_token", "");
  settings.continuing_subword_prefix = fields.text_or("continuing_subword_prefix", "");
  settings.end_of_word_suffix = fields.text_or("end_of_word_suffix", "");
  settings.fuse_unk = fields.flag_or("fuse_unk", false);
  settings.byte_fallback = fields.flag_or("byte_fallback", false);
  settings.ignore_merges = fields.flag_or("ignore_merges", false);
  settings.bytes = parts.pre_tokenizers.ends_in_bytes;
  return make_bpe(*parts.vocabulary, settings, fields.where());
}

std::unique_ptr<Model> make_unigram_model(JsonFields& fields, PipelineParts& parts) {
  if (parts.pre_tokenizers.ends_in_bytes)
    refuse(fields.where(), "Unigram over ByteLevel", "BPE over ByteLevel");
  UnigramSettings settings;
  for (const Json& item : fields.array("vocab")) {
    bool good = item.is_array() && item.size() == 2 && item[0].is_string() && item[1].is_number() &&
                std::isfinite(item[1].get<double>());
    if (!good) fields.fail("vocab", "a list of [token, score]");
    settings.pieces.emplace_back(item[0].get<std::string>(), item[1].get<double>());
    parts.vocabulary->emplace(settings.pieces.back().first,
                              static_cast<int32_t>(settings.pieces.size() - 1));
  }
  if (settings.pieces.empty()) fields.fail("vocab", "at least one token");
  if (fields.has("unk_id"))
    settings.unk_id = static_cast<int32_t>(
        fields.integer("unk_id", 0, static_cast<int64_t>(settings.pieces.size()) - 1));
  settings.byte_fallback = fields.flag_or("byte_fallback", false);
  return make_unigram(std::move(settings), fields.where());
}

struct Entry {
  const char* type;
  std::unique_ptr<Model> (*make)(JsonFields& fields, PipelineParts& parts);
};
constexpr Entry kModels[] = {{"BPE", make_bpe_model}, {"Unigram", make_unigram_model}};

void read_model(const Json& value, const std::string& where, PipelineParts& parts) {
  Json typed;
  const Json* model = &value;
  if (value.is_object() && !value.contains("type") && value.contains("merges")) {
    typed = value;  // before version 0.9 of tokenizers a BPE did not say so
    typed["type"] = "BPE";
    model = &typed;
  }
  JsonFields fields(*model, where);
  parts.model = read_typed(fields, kModels, "model", parts);
}

void read_added_tokens(const Json& list, const std::string& where, PipelineParts& parts) {
  std::vector<AddedToken> tokens;
  std::vector<int64_t> ids;
  for (const Json& item : list) {
    tokens.push_back(read_added_token(item, where));
    JsonFields fields(item, where);
    ids.push_back(fields.integer("id", 0, kMaxIds - 1));
  }
  parts.added.add(tokens);
  for (size_t i = 0; i < tokens.size(); ++i) {
    auto id = parts.added.id_of(tokens[i].content);
    if (id && *id != ids[i])
      throw InputError(where + ": \"" + tokens[i].content + "\" should be token " +
                           std::to_string(ids[i]) + ", but by the vocabulary it is " +
                           std::to_string(*id),
                       "the file's vocabulary and added tokens do not belong together");
  }
}

}  // namespace

void check_vocabulary(const Vocabulary& vocabulary, const std::string& where) {
  std::vector<bool> seen;
  for (const auto& [token, id] : vocabulary) {
    auto at = static_cast<size_t>(id);
    if (at >= seen.size()) seen.resize(at + 1);
    if (seen[at]) throw InputError(where + ": two tokens have the id " + std::to_string(id));
    seen[at] = true;
  }
}

PipelineParts read_tokenizer_json(const Json& json, const std::string& where,
                                  std::optional<bool> add_prefix_space) {
  PipelineParts parts;
  JsonFields fields(json, where);
  fields.ignore({"truncation", "padding"});
  if (fields.has("version") && fields.text("version") != "1.0")
    refuse(where, "version " + fields.text("version"), "1.0");
  auto value = [&](const char* key) { return fields.has(key) ? fields.get(key) : Json(); };
  parts.normalizer = read_normalizer(value("normalizer"), fields.where("normalizer"));
  Json pre_tokenizer = value("pre_tokenizer");
  if (add_prefix_space && pre_tokenizer.is_object() &&
      pre_tokenizer.value("type", Json()) == "ByteLevel")
    pre_tokenizer["add_prefix_space"] = *add_prefix_space;
  parts.pre_tokenizers = read_pre_tokenizer(pre_tokenizer, fields.where("pre_tokenizer"));
  read_model(fields.get("model"), fields.where("model"), parts);
  if (fields.has("added_tokens"))
    read_added_tokens(fields.array("added_tokens"), fields.where("added_tokens"), parts);
  parts.post_processor =
      read_post_processor(value("post_processor"), fields.where("post_processor"));
  parts.decoder = read_decoder(value("decoder"), fields.where("decoder"));
  fields.done();
  return parts;
}

}  // namespace littlebit::tokenizer
