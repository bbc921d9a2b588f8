// What the commands of littlebit-eval have in common: reading their options, checking that a model
// was named and that nothing is written over what is read, the options in LibTorch's words.
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

// A path and the option that it was given by.
struct NamedPath {
  const char* option;
  std::filesystem::path path;
};

// UsageError naming the option whose path is empty.
void require_paths(const std::vector<NamedPath>& paths);

// Nothing that is read may be written over, whatever links it is named by. UsageError where an
// output is an input or another output, stands in the folder of the model as a file that is neither
// a results.json nor jsonl, or would be read as one of its tensor files. Empty paths are left out.
void check_outputs(const std::filesystem::path& model, const std::vector<NamedPath>& inputs,
                   const std::vector<NamedPath>& outputs);

at::ScalarType compute_type(EvalDtype dtype);

}  // namespace littlebit
