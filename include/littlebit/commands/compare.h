// `littlebit-eval compare`: results side by side.
#pragma once

#include <filesystem>
#include <vector>

namespace littlebit {

// Two or more results.json: a Markdown table of differences from the first on stdout, warnings
// where protocols, data or amounts differ. Returns the exit code; InputError naming a file that is
// none.
int run_compare(const std::vector<std::filesystem::path>& files);

}  // namespace littlebit
