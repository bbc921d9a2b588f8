// The recipes: what each sets instead of the options' defaults. What served best, and how that was
// measured, is in docs/results.md.
#include "littlebit/train/recipes.h"

#include <algorithm>
#include <array>
#include <span>

#include "littlebit/core/strings.h"
#include "littlebit/train/options.h"

namespace littlebit {
namespace {

struct Preset {
  const char* key;
  const char* value;
};

// The options' own defaults are the authors' first recipe.
constexpr const char* kReference = "reference";

constexpr std::array kLittleBit2 = {Preset{"quant.init", "joint_itq"}};

constexpr std::array kBest = {
    Preset{"quant.init", "lb_admm"},       Preset{"quant.admm_iterations", "200"},
    Preset{"quant.residual", "false"},     Preset{"quant.latent_rms", "0.02"},
    Preset{"optim.learning_rate", "2e-3"}, Preset{"optim.beta1", "0.8"},
    Preset{"optim.schedule", "linear"},    Preset{"distill.hidden", "relative"},
    Preset{"distill.hidden_weight", "3"},  Preset{"distill.hidden_schedule", "while_far"},
    Preset{"quant.ranks", "by_loss"},
};
// Of best: AdamW's steps are as long as its rate, so the rate of latents goes with their size. 0,
// where they stay as the start makes them, is the rate of all else.
constexpr double kLatentRateOfRms = 0.02;

struct Recipe {
  const char* name;
  std::span<const Preset> presets;
};
constexpr std::array<Recipe, 3> kRecipes = {
    {{kReference, {}}, {"littlebit2", kLittleBit2}, {kBestRecipe, kBest}}};

}  // namespace

void RecipeOptions::declare(OptionGroup& group) {
  std::vector<std::string> names;
  for (const Recipe& each : kRecipes) names.emplace_back(each.name);
  group.choice("recipe", &recipe, std::move(names),
               "A set of defaults for options that are not given. reference: the authors' first "
               "recipe, as listed below; littlebit2: theirs with Joint-ITQ; best: what worked best "
               "here (docs/results.md).");
}

void apply_recipe(const RunOptions& options, OptionTree& tree) {
  const std::string& name = options.recipe.recipe;
  const auto found = std::find_if(kRecipes.begin(), kRecipes.end(),
                                  [&](const Recipe& each) { return name == each.name; });
  if (found == kRecipes.end()) return;
  for (const Preset& preset : found->presets) {
    tree.set_default(preset.key, preset.value, "recipe " + name);
  }
  if (name == kBestRecipe) {
    tree.set_default("optim.latent_learning_rate",
                     format_digits(kLatentRateOfRms * options.quant.latent_rms, 6),
                     "recipe best, by quant.latent_rms");
  }
}

}  // namespace littlebit
