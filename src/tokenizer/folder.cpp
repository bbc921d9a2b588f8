// Which of a folder's files make the tokenizer: the choice of transformers' AutoTokenizer, see
// docs/tokenizers.md.
#include "littlebit/tokenizer/folder.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"
#include "littlebit/io/json.h"
#include "littlebit/tokenizer/tokenizer.h"
#include "tokenizer/json_fields.h"
#include "tokenizer/merges_pipeline.h"
#include "tokenizer/sentencepiece_pipeline.h"
#include "tokenizer/sentencepiece_tokenizer.h"
#include "tokenizer/tokenizer_class.h"
#include "tokenizer/tokenizer_json.h"

namespace littlebit {
namespace tokenizer {
namespace {

using Source = TokenizerClass::Source;
constexpr uint64_t kMaxBytes = 256u << 20;

// Llama's class of transformers 5 takes no more than vocabulary and post-processor from the file:
// it makes its pre-tokenizer anew by two settings, of which it saves only one.
void remake_llama_prefix(Json& json, const TokenizerConfig& config) {
  const auto it = json.find("pre_tokenizer");
  if (config.tokenizer_class != "LlamaTokenizer" || it == json.end() || !it->is_object()) return;
  if (it->value("type", Json()) != "Metaspace") return;
  const bool always = config.legacy.value_or(false);
  (*it)["prepend_scheme"] = !config.add_prefix_space.value_or(true) ? "never"
                            : always                                ? "always"
                                                                    : "first";
}

std::unique_ptr<Tokenizer> from_json(const std::filesystem::path& file, const TokenizerClass& kind,
                                     const TokenizerConfig& config) {
  // Most classes take a missing add_prefix_space for false, Llama's for nothing said.
  std::optional<bool> prefix = config.add_prefix_space;
  bool llama = std::string_view(kind.name) == "LlamaTokenizer";
  if (!prefix && !llama && !config.add_prefix_space_is_null) prefix = false;
  Json json = read_json_file(file, kMaxBytes);
  if (config.json_says_all) {
    prefix.reset();
    remake_llama_prefix(json, config);
  }
  PipelineParts parts = read_tokenizer_json(json, file.string(), prefix);
  parts.files = {file};
  finish_as_class(parts, kind, config, false);
  return make_pipeline(std::move(parts));
}

std::unique_ptr<Tokenizer> from_sentencepiece(const std::filesystem::path& file,
                                              const TokenizerClass& kind,
                                              const TokenizerConfig& config) {
  SentencePieceModel model = parse_sentencepiece_model(read_file(file, kMaxBytes), file.string());
  // The conversion drops these; with `legacy: true` the ids are those of SentencePiece itself, as
  // of transformers' Python class, with `legacy: false` those of the conversion.
  if ((model.remove_extra_whitespaces || model.has_character_map) && config.legacy.value_or(true))
    return load_sentencepiece(file, kind, config);
  PipelineParts parts = convert_sentencepiece(model, kind, config, file.string());
  parts.files = {file};
  finish_as_class(parts, kind, config, true);
  return make_pipeline(std::move(parts));
}

// What tokenizer.json adds to the small files where the tokenizer is made from another file all the
// same.
void take_added_tokens(const std::filesystem::path& file, TokenizerConfig& config) {
  if (config.has_added_tokens_decoder) return;
  Json json = read_json_file(file, kMaxBytes);
  JsonFields fields(json, file.string());
  if (!fields.has("added_tokens")) return;
  for (const Json& item : fields.array("added_tokens")) {
    JsonFields token(item, fields.where("added_tokens"));
    auto id = static_cast<int32_t>(token.integer("id", 0, 1 << 24));
    config.added_tokens[id] = read_added_token(item, fields.where("added_tokens"));
  }
  config.files.push_back(file);
}

std::unique_ptr<Tokenizer> load(const std::filesystem::path& folder) {
  if (std::error_code error; !std::filesystem::is_directory(folder, error))
    throw InputError(folder.string() + ": no such folder",
                     "a tokenizer is loaded from the folder of its model");
  TokenizerConfig config = read_tokenizer_config(folder);
  const TokenizerClass& kind = class_of(folder, config);
  auto there = [&](const char* name) { return std::filesystem::is_regular_file(folder / name); };
  const auto json = folder / "tokenizer.json", model = folder / "tokenizer.model";
  const bool has_model = there("tokenizer.model") && kind.source == Source::kSentencePiece;
  // Llama's class, told about add_prefix_space, makes its tokenizer anew from tokenizer.model.
  const bool prefers_model =
      has_model && config.add_prefix_space && std::string_view(kind.name) == "LlamaTokenizer";
  if (there("tokenizer.json") && !prefers_model) return from_json(json, kind, config);
  if (has_model) {
    if (there("tokenizer.json")) take_added_tokens(json, config);
    return from_sentencepiece(model, kind, config);
  }
  if (kind.source == Source::kMerges && there("vocab.json") && there("merges.txt")) {
    PipelineParts parts = convert_merges(folder, kind, config);
    finish_as_class(parts, kind, config, true);
    return make_pipeline(std::move(parts));
  }
  std::vector<std::string> found;
  for (const char* name : {"tokenizer.model", "vocab.json", "merges.txt", "vocab.txt",
                           "tiktoken.model", "tekken.json", "tokenizer_config.json", "config.json"})
    if (there(name)) found.push_back(name);
  throw InputError(
      folder.string() + ": no supported tokenizer for class " + kind.name +
          "; found: " + (found.empty() ? "none of the usual files" : join(found, ", ")),
      "supported: tokenizer.json; tokenizer.model of SentencePiece (LlamaTokenizer, "
      "GemmaTokenizer); vocab.json with merges.txt (GPT2Tokenizer, Qwen2Tokenizer)");
}

}  // namespace
}  // namespace tokenizer

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& folder) {
  return tokenizer::load(folder);
}

}  // namespace littlebit
