// vocab.json and merges.txt, read whole with limits, made into the parts of a pipeline for GPT-2's
// and Qwen2's classes.
#include "tokenizer/merges_pipeline.h"

#include <nlohmann/json.hpp>
#include <set>

#include "littlebit/core/error.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"
#include "littlebit/io/json.h"
#include "tokenizer/json_fields.h"
#include "tokenizer/tokenizer_json.h"
#include "tokenizer/unicode.h"

namespace littlebit::tokenizer {
namespace {

constexpr uint64_t kMaxBytes = 256u << 20;
constexpr const char* kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// The merges of the file's lines, each once. The first line is no merge: GPT-2's class drops it
// whatever it says, Qwen's only where it is a version.
Json read_merges_file(const std::filesystem::path& file, bool drops_first_line) {
  std::string text = read_file(file, kMaxBytes);
  require_utf8(text, file.string().c_str());
  std::vector<std::string> lines = split(text, '\n');
  if (drops_first_line && !lines.empty()) lines.pop_back();  // what follows the last newline
  Json merges = Json::array();
  std::set<std::string> seen;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i == 0 && (drops_first_line || lines[i].starts_with("#version:"))) continue;
    std::vector<std::string> words;
    for (size_t at = 0; at < lines[i].size();) {
      size_t begin = white_space_end(lines[i], at);
      for (at = begin; at < lines[i].size() && !is_white_space(code_point_at(lines[i], at));)
        at += utf8_length(lines[i][at]);
      if (at > begin) words.push_back(lines[i].substr(begin, at - begin));
    }
    if (words.empty() && !drops_first_line) continue;
    if (words.size() != 2)
      throw InputError(file.string() + ":" + std::to_string(i + 1) +
                       ": expected two tokens, found " + std::to_string(words.size()));
    if (seen.insert(words[0] + " " + words[1]).second) merges.push_back({words[0], words[1]});
  }
  return merges;
}

}  // namespace

PipelineParts convert_merges(const std::filesystem::path& folder, const TokenizerClass& kind,
                             const TokenizerConfig& config) {
  const bool gpt2 = std::string_view(kind.name) == "GPT2Tokenizer";
  // The files are put into the form of tokenizer.json, so that one reader checks both and there is
  // one way to a pipeline.
  Json model = {{"type", "BPE"}};
  model["vocab"] = read_json_file(folder / "vocab.json", kMaxBytes);
  model["merges"] = read_merges_file(folder / "merges.txt", gpt2);
  Json byte_level = {{"type", "ByteLevel"},
                     {"add_prefix_space", config.add_prefix_space.value_or(false)},
                     {"use_regex", gpt2}};
  Json whole = {{"model", std::move(model)}, {"decoder", {{"type", "ByteLevel"}}}};
  if (gpt2) {
    whole["pre_tokenizer"] = byte_level;
  } else {
    Json pattern = {{"type", "Split"},
                    {"pattern", {{"Regex", kQwen2Pattern}}},
                    {"behavior", "Isolated"},
                    {"invert", false}};
    whole["normalizer"] = {{"type", "NFC"}};
    whole["pre_tokenizer"] = {{"type", "Sequence"},
                              {"pretokenizers", Json::array({pattern, byte_level})}};
  }
  PipelineParts parts = read_tokenizer_json(whole, folder.string(), std::nullopt);
  parts.files = {folder / "vocab.json", folder / "merges.txt"};
  return parts;
}

}  // namespace littlebit::tokenizer
