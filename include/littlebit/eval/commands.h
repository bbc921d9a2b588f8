// The commands of the program littlebit-eval, behind its command line. Each returns the exit code,
// or throws Error.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "littlebit/eval/options.h"

namespace littlebit {

// Scores a model. `config`: a YAML file, or empty; `words`: "key.path=value" in order, later ones
// win. Prints a table to stdout and writes results.json where eval.output says so.
int run_score(const std::filesystem::path& config, const std::vector<std::string>& words);

std::string score_keys_help();  // every key of run_score with its default, for --help

// Two or more results.json side by side: a Markdown table of differences from the first on stdout,
// warnings where protocols, data or amounts differ. InputError naming a file that is none.
int run_compare(const std::vector<std::filesystem::path>& files);

// Continues a text (eval/generate.h): new text to stdout as it comes, speed and sizes to stderr.
int run_generate(const std::filesystem::path& config, const std::vector<std::string>& words);

std::string generate_keys_help();

// "key=value" with the value quoted as a YAML string, or as a list of them.
std::string quoted_word(const std::string& key, const std::string& value);
std::string quoted_word(const std::string& key, const std::vector<std::string>& values);

// One forward pass: tensor `input_ids` [B, T] of one safetensors file -> `logits`, `final_hidden`
// and, if asked for, `hidden_states` in another, all fp32 (models/forward.h). Needs no tokenizer.
struct ForwardOptions {
  std::filesystem::path model, input, output;
  bool hidden_states = false;
  EvalDtype dtype = EvalDtype::kFp32;
  DeviceKind device = DeviceKind::kAuto;
  int64_t threads = 0;
};
int run_forward(const ForwardOptions& options);

// A JSON list of strings -> a list of {"ids": [...], "ids_with_special": [...]}. Needs the
// tokenizer's files only.
struct TokenizeOptions {
  std::filesystem::path model, input, output;
};
int run_tokenize(const TokenizeOptions& options);

}  // namespace littlebit
