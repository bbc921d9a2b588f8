// The one declaration of every option of sections `distill` and `blockwise`.
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

void BlockwiseOptions::declare(OptionGroup& group) {
  group.integer("sequences", &sequences, {.min = 0, .max = 1 << 20},
                "Sequences of training text that the blocks are trained on before the steps of "
                "train.steps: each block in turn is to give what the teacher's gives, its inputs "
                "being made by the finished blocks before it. train.steps may then be 0. 0: all "
                "blocks are trained together from the start.",
                {Decides::kRun});
  group.integer("passes", &passes, {.min = 1, .max = 1024},
                "How often each block goes through those sequences. Each pass counts sequences * "
                "data.sequence_length tokens for all blocks together.",
                {Decides::kRun});
  group.integer("batch_size", &batch_size, {.min = 1, .max = 1 << 20},
                "Sequences of such a step, which trains one block.", {Decides::kRun});
  group.number("learning_rate", &learning_rate, {.min = 0, .max = 1e6},
               "Peak rate of these steps, the schedule of optim beginning anew with each block; 0: "
               "optim.learning_rate.",
               {Decides::kRunChangeable});
  group.number("latent_learning_rate", &latent_learning_rate, {.min = 0, .max = 1e6},
               "The same for the latents; 0: as optim.latent_learning_rate says.",
               {Decides::kRunChangeable});
  group.choice(
      "storage", &storage, {"memory", "disk"},
      "disk: of the blocks only the one that is trained has latents and moments in memory; "
      "the others', and the inputs of the sequences, are in files of output.dir/cache that "
      "no folder shows, until all blocks are trained together. The numbers are the same.");
}

}  // namespace littlebit
