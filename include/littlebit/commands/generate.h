// `littlebit-eval generate`: continues a text (eval/generate.h).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace littlebit {

// Options as for run_score. New text goes to stdout as it comes, speed and sizes to stderr. Returns
// the exit code, or throws Error.
int run_generate(const std::filesystem::path& config, const std::vector<std::string>& overrides);

std::string generate_keys_help();

}  // namespace littlebit
