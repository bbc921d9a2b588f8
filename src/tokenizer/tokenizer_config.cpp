// The small files of a folder merged into one description. Any of them may be missing; one that is
// there must be what transformers would write.
#include "tokenizer/tokenizer_config.h"

#include <charconv>
#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/io/json.h"
#include "tokenizer/json_fields.h"
#include "tokenizer/model.h"

namespace littlebit::tokenizer {
namespace {

NamedToken read_named(const Json& value, const std::string& where, bool special) {
  NamedToken named;
  if (value.is_null()) return named;
  if (value.is_string()) {
    named.token.content = value.get<std::string>();
    return named;
  }
  named.token = read_added_token(value, where);
  named.token.special |= special;
  named.has_settings = true;
  return named;
}

// The roles of one file; a later file overrides an earlier one.
void read_roles(const Json& json, const std::string& where, bool special, TokenizerConfig& config) {
  for (const char* role : kRoles) {
    auto it = json.find(role);
    if (it != json.end()) config.special[role] = read_named(*it, where + "." + role, special);
  }
  auto add = [&](const Json& token, const char* key, bool unordered) {
    NamedToken named = read_named(token, where + "." + key, special);
    named.unordered = unordered;
    bool known = false;
    for (const auto& other : config.additional_special)
      known |= other.token.content == named.token.content;
    if (!known) config.additional_special.push_back(named);
  };
  auto it = json.find("additional_special_tokens");
  if (it != json.end() && !it->is_null()) {
    if (!it->is_array())
      throw InputError(where + ": key \"additional_special_tokens\": expected a list");
    for (const auto& token : *it) add(token, "additional_special_tokens", false);
  }
  // Roles of the model's own, {"image_token": "<image>"}; transformers 5 writes a list.
  it = json.find("extra_special_tokens");
  if (it == json.end() || it->empty()) return;
  if (!it->is_structured())
    throw InputError(where + ": key \"extra_special_tokens\": expected an object or a list");
  for (const auto& [role, token] : it->items())
    add(token, "extra_special_tokens", /*unordered=*/it->is_object());
}

// The tokens around a gap in a text, which only CodeLlama's class has.
void read_infilling(const Json& json, const std::string& where, TokenizerConfig& config) {
  static constexpr std::pair<const char*, const char*> kTokens[] = {{"prefix_token", "\u2581<PRE>"},
                                                                    {"middle_token", "\u2581<MID>"},
                                                                    {"suffix_token", "\u2581<SUF>"},
                                                                    {"eot_token", "\u2581<EOT>"}};
  for (const auto& [key, otherwise] : kTokens) {
    const auto it = json.find(key);
    const std::string token =
        it == json.end() ? otherwise : read_named(*it, where + "." + key, false).token.content;
    if (!token.empty()) config.infilling.push_back(token);
  }
}

void read_added_tokens_decoder(const Json& json, const std::string& where,
                               TokenizerConfig& config) {
  if (!json.is_object()) throw InputError(where + ": expected an object of id: token");
  for (const auto& [key, value] : json.items()) {
    int32_t id = -1;
    auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id < 0 || id >= kMaxIds)
      throw InputError(where + ": \"" + key + "\" is not a token id");
    config.added_tokens[id] = read_added_token(value, where + "." + key);
  }
}

void read_added_tokens_file(const std::filesystem::path& file, TokenizerConfig& config) {
  const std::string where = file.string();
  Json json = read_json_file(file);
  if (!json.is_object()) throw InputError(where + ": expected an object of token: id");
  for (const auto& [content, id] : json.items()) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() >= kMaxIds)
      throw InputError(where + ": the id of \"" + content + "\" is not a token id");
    bool special = false;
    for (const auto& [role, named] : config.special) special |= named.token.content == content;
    for (const auto& named : config.additional_special) special |= named.token.content == content;
    config.added_tokens[id.get<int32_t>()] = {
        .content = content, .normalized = !special, .special = special};
  }
}

}  // namespace

AddedToken read_added_token(const nlohmann::json& value, const std::string& where) {
  JsonFields fields(value, where);
  fields.ignore({"__type", "id"});
  AddedToken token;
  token.content = fields.text("content");
  token.single_word = fields.flag_or("single_word", false);
  token.lstrip = fields.flag_or("lstrip", false);
  token.rstrip = fields.flag_or("rstrip", false);
  token.special = fields.flag_or("special", false);
  token.normalized = fields.flag_or("normalized", !token.special);
  fields.done();
  return token;
}

std::optional<AddedToken> TokenizerConfig::role(std::string_view name,
                                                std::string_view otherwise) const {
  auto it = special.find(name);
  std::string content(otherwise);
  if (it != special.end()) content = it->second.token.content;
  if (content.empty()) return std::nullopt;
  for (const auto& [id, token] : added_tokens)
    if (token.content == content) return token;
  if (it != special.end() && it->second.has_settings) return it->second.token;
  return AddedToken{.content = content, .normalized = false, .special = true};
}

TokenizerConfig read_tokenizer_config(const std::filesystem::path& folder) {
  TokenizerConfig config;
  auto there = [&](const char* name) { return std::filesystem::is_regular_file(folder / name); };
  if (there("tokenizer_config.json")) {
    auto file = folder / "tokenizer_config.json";
    config.files.push_back(file);
    Json json = read_json_file(file);
    JsonFields fields(json, file.string());
    config.tokenizer_class = fields.text_or("tokenizer_class", "");
    if (config.tokenizer_class.ends_with("Fast"))
      config.tokenizer_class.resize(config.tokenizer_class.size() - 4);
    auto optional_flag = [&](const char* key, std::optional<bool>& flag) {
      if (fields.has(key)) flag = fields.flag(key);
    };
    if (json.contains("add_bos_token"))
      config.add_bos_token = fields.flag_or("add_bos_token", false);
    if (json.contains("add_eos_token"))
      config.add_eos_token = fields.flag_or("add_eos_token", false);
    optional_flag("add_prefix_space", config.add_prefix_space);
    optional_flag("legacy", config.legacy);
    config.add_prefix_space_is_null = json.contains("add_prefix_space") && !config.add_prefix_space;
    config.json_says_all = fields.text_or("backend", "") == "tokenizers";
    config.split_special_tokens = fields.flag_or("split_special_tokens", false);
    read_roles(json, file.string(), false, config);
    read_infilling(json, file.string(), config);
    if (fields.has("added_tokens_decoder")) {
      config.has_added_tokens_decoder = true;
      read_added_tokens_decoder(fields.get("added_tokens_decoder"),
                                fields.where("added_tokens_decoder"), config);
    }
  }
  if (config.has_added_tokens_decoder) return config;
  if (there("special_tokens_map.json")) {
    auto file = folder / "special_tokens_map.json";
    config.files.push_back(file);
    Json json = read_json_file(file);
    if (!json.is_object()) throw InputError(file.string() + ": expected an object");
    read_roles(json, file.string(), true, config);
  }
  if (there("added_tokens.json")) {
    config.files.push_back(folder / "added_tokens.json");
    read_added_tokens_file(folder / "added_tokens.json", config);
  }
  return config;
}

}  // namespace littlebit::tokenizer
