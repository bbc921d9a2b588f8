// The table of tokenizer classes, and the special tokens that each adds to its files. A class that
// is not in the table is refused by name.
#include "tokenizer/tokenizer_class.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "littlebit/core/error.h"
#include "littlebit/io/json.h"
#include "tokenizer/json_fields.h"

namespace littlebit::tokenizer {
namespace {

using Source = TokenizerClass::Source;

constexpr TokenizerClass kClasses[] = {
    {"LlamaTokenizer", "<s>", "</s>", "<unk>", "", true, Source::kSentencePiece},
    {"CodeLlamaTokenizer", "<s>", "</s>", "<unk>", "", true, Source::kSentencePiece},
    {"GemmaTokenizer", "<bos>", "<eos>", "<unk>", "<pad>", true, Source::kSentencePiece},
    {"GPT2Tokenizer", "<|endoftext|>", "<|endoftext|>", "<|endoftext|>", "", false,
     Source::kMerges},
    {"Qwen2Tokenizer", "", "<|endoftext|>", "<|endoftext|>", "<|endoftext|>", false,
     Source::kMerges},
    {"PreTrainedTokenizer", "", "", "", "", false, Source::kNone},
    {"TokenizersBackend", "", "", "", "", false, Source::kNone},
};

// What AutoTokenizer takes for a config.json that names no tokenizer class.
constexpr struct {
  const char *model_type, *tokenizer_class;
} kByModelType[] = {
    {"llama", "LlamaTokenizer"},  {"mistral", "LlamaTokenizer"},     {"mixtral", "LlamaTokenizer"},
    {"phi3", "LlamaTokenizer"},   {"gemma", "GemmaTokenizer"},       {"gemma2", "GemmaTokenizer"},
    {"gemma3", "GemmaTokenizer"}, {"gemma3_text", "GemmaTokenizer"}, {"gpt2", "GPT2Tokenizer"},
    {"opt", "GPT2Tokenizer"},     {"qwen2", "Qwen2Tokenizer"},       {"qwen3", "Qwen2Tokenizer"},
};

std::string named_class(const std::filesystem::path& folder, const TokenizerConfig& config) {
  if (config.json_says_all) return "TokenizersBackend";
  if (!config.tokenizer_class.empty()) return config.tokenizer_class;
  auto file = folder / "config.json";
  if (std::filesystem::is_regular_file(file)) {
    Json json = read_json_file(file);
    JsonFields fields(json, file.string());
    std::string name = fields.text_or("tokenizer_class", "");
    if (name.ends_with("Fast")) name.resize(name.size() - 4);
    if (!name.empty()) return name;
    std::string model_type = fields.text_or("model_type", "");
    for (const auto& entry : kByModelType)
      if (model_type == entry.model_type) return entry.tokenizer_class;
    if (!model_type.empty()) return "of model_type " + model_type;  // which nobody here knows
  }
  if (std::filesystem::is_regular_file(folder / "tokenizer.json")) return "PreTrainedTokenizer";
  if (std::filesystem::is_regular_file(folder / "tokenizer.model")) return "LlamaTokenizer";
  return "GPT2Tokenizer";
}

// A special token as the class holds it: a bare string, or with settings.
struct Special {
  AddedToken token;
  bool has_settings = false;
  bool unordered = false;
};

// The special tokens in transformers' order, without repeats.
std::vector<Special> special_tokens(const PipelineParts& parts, const TokenizerClass& kind,
                                    const TokenizerConfig& config, bool converted) {
  // A token that is an added token already has that one's settings.
  std::map<int32_t, AddedToken> settled = config.added_tokens;
  if (!config.has_added_tokens_decoder && !converted)
    settled.insert(parts.added.tokens().begin(), parts.added.tokens().end());
  const std::map<std::string, const char*> defaults = {{"bos_token", kind.bos},
                                                       {"eos_token", kind.eos},
                                                       {"unk_token", kind.unk},
                                                       {"pad_token", kind.pad}};
  std::vector<Special> out;
  std::set<std::string> seen;
  auto put = [&](Special special) {
    if (!special.token.content.empty() && seen.insert(special.token.content).second)
      out.push_back(std::move(special));
  };
  // Classes that are made from other files, and Qwen's, give bare strings settings of their own.
  bool gives_settings = converted || std::string_view(kind.name) == "Qwen2Tokenizer";
  bool normalized =
      kind.source == Source::kMerges && std::string_view(kind.name) == "GPT2Tokenizer";
  for (const char* role : kRoles) {
    Special special;
    auto it = config.special.find(role);
    if (it != config.special.end()) {
      special.token = it->second.token;
      special.has_settings = it->second.has_settings;
      for (const auto& [id, token] : settled)
        if (token.content == it->second.token.content) special = {token, true};
    } else if (auto found = defaults.find(role); found != defaults.end()) {
      special.token.content = found->second;
    }
    bool classes_own = defaults.count(role) > 0;
    if (!special.has_settings && gives_settings && classes_own && kind.source != Source::kNone) {
      special.token = {.content = special.token.content, .normalized = normalized, .special = true};
      special.has_settings = true;
    }
    put(special);
  }
  for (const auto& named : config.additional_special)
    put({named.token, named.has_settings, named.unordered});
  if (std::string_view(kind.name) == "CodeLlamaTokenizer")
    for (const std::string& token : config.infilling) put({.token = {.content = token}});
  return out;
}

void add_small_files(PipelineParts& parts, const std::vector<Special>& specials,
                     const TokenizerConfig& config) {
  std::set<std::string> special_contents, known;
  for (const Special& special : specials) special_contents.insert(special.token.content);
  std::vector<AddedToken> present, wanted;
  for (const auto& [id, token] : parts.added.tokens()) {
    present.push_back(token);
    known.insert(token.content);
  }
  auto has = [](const std::vector<AddedToken>& list, const AddedToken& token) {
    return std::find(list.begin(), list.end(), token) != list.end();
  };
  std::map<std::string, int32_t> expected;
  for (const auto& [id, token] : config.added_tokens) {
    expected[token.content] = id;
    if (has(present, token)) continue;
    wanted.push_back(token);
    known.insert(token.content);
  }
  for (const Special& special : specials) {
    if (special.has_settings ? has(wanted, special.token) : known.count(special.token.content) > 0)
      continue;
    wanted.push_back(special.token);
    if (!special.has_settings) wanted.back().normalized = false;
  }
  auto is_new = [&](const Special& s) {
    return s.unordered && !parts.added.id_of(s.token.content);
  };
  if (std::count_if(specials.begin(), specials.end(), is_new) > 1)
    refuse("tokenizer_config.json",
           "extra_special_tokens with more than one token that has no id yet",
           "tokens that have one");
  for (AddedToken& token : wanted) token.special |= special_contents.count(token.content) > 0;
  parts.added.add(wanted);
  for (const auto& [content, id] : expected) {
    int32_t got = parts.added.id_of(content).value_or(-1);
    if (got != id)
      throw InputError("tokenizer_config.json: added token \"" + content + "\" should be token " +
                           std::to_string(id) + ", but by the vocabulary it is " +
                           std::to_string(got),
                       "the folder's files do not belong together");
  }
}

// The id of a role's token, where it has one.
std::optional<int32_t> role_id(const PipelineParts& parts, const TokenizerConfig& config,
                               const char* role, const char* otherwise) {
  auto it = config.special.find(role);
  std::string content = it != config.special.end() ? it->second.token.content : otherwise;
  if (content.empty()) return std::nullopt;
  return parts.added.id_of(content);
}

int32_t require_role(std::optional<int32_t> id, const TokenizerClass& kind, const char* role) {
  if (id) return *id;
  throw InputError(std::string("tokenizer_config.json: ") + kind.name + " is to add its " + role +
                   ", but there is none");
}

}  // namespace

const TokenizerClass& class_of(const std::filesystem::path& folder, const TokenizerConfig& config) {
  std::string name = named_class(folder, config), known;
  for (const TokenizerClass& kind : kClasses) {
    if (name == kind.name) return kind;
    known += std::string(known.empty() ? "" : ", ") + kind.name;
  }
  refuse(folder.string(), "tokenizer class \"" + name + "\"", known + " (each also as ...Fast)");
}

void finish_as_class(PipelineParts& parts, const TokenizerClass& kind,
                     const TokenizerConfig& config, bool converted) {
  if (config.split_special_tokens)
    refuse("tokenizer_config.json", "split_special_tokens: true", "false");
  add_small_files(parts, special_tokens(parts, kind, config, converted), config);
  parts.bos = role_id(parts, config, "bos_token", kind.bos);
  parts.eos = role_id(parts, config, "eos_token", kind.eos);
  bool own_bos = kind.places_bos_eos;
  bool gpt2_bos = converted && std::string_view(kind.name) == "GPT2Tokenizer";
  std::vector<int32_t> before, after;
  if (config.add_bos_token.value_or(own_bos) && (own_bos || gpt2_bos))
    before.push_back(require_role(parts.bos, kind, "bos_token"));
  if (config.add_eos_token.value_or(false) && own_bos)
    after.push_back(require_role(parts.eos, kind, "eos_token"));
  if (own_bos || converted) parts.post_processor = surround(before, after);
  parts.files.insert(parts.files.end(), config.files.begin(), config.files.end());
}

}  // namespace littlebit::tokenizer
