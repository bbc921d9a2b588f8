// The one declaration of every option of section `optim`.
#include "littlebit/optim/options.h"

#include "littlebit/config/option_group.h"
#include "littlebit/config/option_tree.h"

namespace littlebit {

void OptimOptions::declare(OptionGroup& group) {
  group.number(
      "learning_rate", &learning_rate, {.min = 0, .max = 1e6},
      "Peak learning rate. The paper uses 4e-5 for 7B models; small models take 1e-3 to 4e-3.",
      {Decides::kRunChangeable});
  group.number(
      "latent_learning_rate", &latent_learning_rate, {.min = 0, .max = 1e6},
      "Peak learning rate of the latents, whose signs are the weights; 0: optim.learning_rate, "
      "which is that of scales, biases and norms.",
      {Decides::kRunChangeable});
  group.number("beta1", &beta1, {.min = 0, .max = 0.999999},
               "Decay rate of AdamW's average of gradients.", {Decides::kRunChangeable});
  group.number("beta2", &beta2, {.min = 0, .max = 0.999999},
               "Decay rate of AdamW's average of squared gradients.", {Decides::kRunChangeable});
  group.number("epsilon", &epsilon, {.min = 1e-30, .max = 1}, "AdamW's epsilon.",
               {Decides::kRunChangeable});
  group.number("weight_decay", &weight_decay, {.min = 0, .max = 1e3},
               "Decoupled weight decay of latents and scales; biases and norms have none.",
               {Decides::kRunChangeable});
  group.number("warmup_ratio", &warmup_ratio, {.min = 0, .max = 1},
               "Fraction of all steps over which the learning rate rises linearly from 0.",
               {Decides::kRunChangeable});
  group.choice(
      "schedule", &schedule, {"cosine", "constant", "linear"},
      "Learning rate after the warm-up: it falls to 0 along a cosine or a line, or stays constant.",
      {Decides::kRunChangeable});
  group.number("max_grad_norm", &max_grad_norm, {.min = 0, .max = 1e12},
               "Gradients are scaled down to this global norm; 0 leaves them as they are.",
               {Decides::kRunChangeable});
  group.choice("moments", &moments, {"fp32", "bf16", "int8"},
               "How AdamW's two moments of latents are stored: 8, 4 or 2.06 bytes per latent. bf16 "
               "and int8 (8-bit codes with a scale per 128) are rounded stochastically. Those "
               "of scales, biases and norms are fp32.",
               {Decides::kRun});
  group.choice("state_device", &state_device, {"auto", "device", "cpu"},
               "Where latents and their moments are kept in a run on a GPU: on it, or in the "
               "host's memory, where the CPU then makes the update and returns the sign bits. "
               "auto: on the GPU where that fits. The numbers are the same.");
}

}  // namespace littlebit
