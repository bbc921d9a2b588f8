// littlebit-eval without a subcommand: scores a model.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace littlebit {

// `config`: a YAML file, or empty; `overrides`: "key.path=value", the last one given of a key
// holds. Prints a table to stdout and writes results.json where eval.output says so. Returns the
// exit code, or throws Error.
int run_score(const std::filesystem::path& config, const std::vector<std::string>& overrides);

std::string score_keys_help();  // every key of run_score with its default, for --help

}  // namespace littlebit
