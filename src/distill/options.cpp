// The one declaration of every option of section `distill`.
#include "littlebit/distill/options.h"

#include "littlebit/config/option_tree.h"

namespace littlebit {

void DistillOptions::declare(OptionGroup& group) {
  group.number("kl_weight", &kl_weight, {.min = 0, .max = 1e9},
               "Weight of the KL divergence to the teacher.", {Decides::kRunChangeable});
  group.number("hidden_weight", &hidden_weight, {.min = 0, .max = 1e9},
               "Weight of the sum over layers of the mean squared difference of hidden states.",
               {Decides::kRunChangeable});
  group.choice("normalization", &normalization, {"reference", "per_token"},
               "KL divided by the sequences of the batch (the paper's), or by its tokens.",
               {Decides::kRunChangeable});
}

}  // namespace littlebit
