// How every program reads options: a YAML file, then overrides, then the check that all of them
// were understood.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "littlebit/config/option_tree.h"

namespace littlebit {

// `config`: a YAML file, or empty; `overrides`: "key.path=value", the last one given of a key
// holds. What is wrong is kept for tree.finish(), which the caller calls once all is set.
void read_options(OptionTree& tree, const std::filesystem::path& config,
                  const std::vector<std::string>& overrides);

// The same for options that nothing else is to be asked of. UsageError listing everything that is
// wrong.
template <class Options>
Options read_options(const std::filesystem::path& config,
                     const std::vector<std::string>& overrides) {
  Options options;
  OptionTree tree;
  options.declare(tree);
  read_options(tree, config, overrides);
  tree.finish();
  return options;
}

// Every key with its default, for --help.
template <class Options>
std::string keys_help() {
  Options options;
  OptionTree tree;
  options.declare(tree);
  return tree.help_text();
}

// "key=value" with the value quoted as a YAML string, or as a list of them.
std::string quoted_override(const std::string& key, const std::string& value);
std::string quoted_override(const std::string& key, const std::vector<std::string>& values);

}  // namespace littlebit
