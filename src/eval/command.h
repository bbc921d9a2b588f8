// What the commands of littlebit-eval have in common: reading their options, checking that a model
// was named, the options in LibTorch's words.
#pragma once

#include <c10/core/ScalarType.h>

#include <filesystem>
#include <string>
#include <vector>

#include "littlebit/config/option_tree.h"
#include "littlebit/eval/options.h"

namespace littlebit {

// The options of a command: those of `config` (a YAML file, or empty), then those of `words`
// ("key.path=value"). `Options` has add_to(OptionTree&). UsageError listing everything that is
// wrong.
template <class Options>
Options read_options(const std::filesystem::path& config, const std::vector<std::string>& words) {
  Options options;
  OptionTree tree;
  options.add_to(tree);
  if (!config.empty()) tree.load_yaml(config);
  for (const std::string& word : words) tree.set(word);
  tree.finish();
  return options;
}

// Every key of a command with its default, for --help.
template <class Options>
std::string keys_help() {
  OptionTree tree;
  Options options;
  options.add_to(tree);
  return tree.help_text();
}

void require_model(const ModelOptions& options);  // UsageError where none was given

at::ScalarType compute_type(EvalDtype dtype);

}  // namespace littlebit
