// A set of defaults: which of an option's values a run has that nobody gave.
#pragma once

#include <string>

#include "littlebit/config/option_tree.h"

namespace littlebit {

struct RunOptions;

inline constexpr char kBestRecipe[] = "best";

struct RecipeOptions {
  std::string recipe = "reference";
  void declare(OptionGroup& group);
};

// Gives the options that neither file nor word gave the values of options.recipe. To be called when
// all have been read, before RunOptions::check().
void apply_recipe(const RunOptions& options, OptionTree& tree);

}  // namespace littlebit
