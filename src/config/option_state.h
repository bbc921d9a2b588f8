// What an OptionTree holds: the nodes, and the errors found so far.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "config/option_node.h"

namespace littlebit {

struct OptionTree::State {
  OptionNode root;
  OptionErrors errors;
  bool words_set = false;

  void add_duplicates(const YamlDocument& document, const OptionSource& source);
  // The node that a word's key names, after adding the record it may ask for; nullptr after an
  // error.
  OptionNode* node_to_set(std::string_view key, const OptionSource& source);
  const OptionNode* find(std::string_view key) const;
  void check_main_keys(const OptionNode& node, OptionErrors* all) const;
  std::vector<std::string> keys_where(const std::function<bool(const OptionNode&)>& wanted) const;
};

}  // namespace littlebit
