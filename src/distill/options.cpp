// The one declaration of every option of sections `distill` and `blockwise`.
#include "littlebit/distill/options.h"

#include <algorithm>

#include "littlebit/config/option_group.h"
#include "littlebit/config/option_tree.h"

namespace littlebit {
namespace {

// Nats per token. A student that is nearer than the first learns less where its states are held to
// the teacher's; one that is farther than the second learns more (docs/results.md).
constexpr double kNear = 1, kFar = 2;

}  // namespace

void DistillOptions::declare(OptionGroup& group) {
  group.number("kl_weight", &kl_weight, {.min = 0, .max = 1e9},
               "Weight of the KL divergence to the teacher.", {Decides::kRunChangeable});
  group.choice("hidden", &hidden, {"mean_square", "relative"},
               "How hidden states are compared. mean_square: the sum over layers of the mean "
               "squared difference, as in the paper; relative: the sum over layers of squared "
               "differences at each position over the teacher's square there, summed over "
               "positions as the KL divergence is.",
               {Decides::kRunChangeable});
  group.number("hidden_weight", &hidden_weight, {.min = 0, .max = 1e9},
               "Weight of the difference of hidden states.", {Decides::kRunChangeable});
  group.choice(
      "hidden_schedule", &hidden_schedule, {"constant", "linear", "while_far"},
      "Whether that weight stays; linear: falls linearly from the first step of all blocks to zero "
      "after the last; while_far: falls likewise, and counts in full only while the student's KL "
      "divergence from the teacher is 2 nats per token or more, not at all at 1 and below.",
      {Decides::kRunChangeable});
  group.choice(
      "normalization", &normalization, {"reference", "per_token"},
      "Whether KL is divided by the sequences of the batch (as in the paper) or by its tokens.",
      {Decides::kRunChangeable});
}

double DistillOptions::hidden_weight_at(int64_t k, int64_t steps, std::optional<double> kl) const {
  if (hidden_schedule == HiddenSchedule::kConstant) return hidden_weight;
  const double left = static_cast<double>(std::max<int64_t>(0, steps - k));
  const double weight = hidden_weight * left / static_cast<double>(std::max<int64_t>(1, steps));
  if (hidden_schedule == HiddenSchedule::kLinear || !kl) return weight;
  return weight * std::clamp((*kl - kNear) / (kFar - kNear), 0.0, 1.0);
}

std::optional<double> DistillOptions::kl_per_token(double loss_kl, int64_t length) const {
  if (kl_weight == 0) return std::nullopt;
  const double tokens =
      normalization == Normalization::kReference ? static_cast<double>(length) : 1;
  return loss_kl / (kl_weight * tokens);
}

void BlockwiseOptions::declare(OptionGroup& group) {
  group.integer("sequences", &sequences, {.min = 0, .max = 1 << 20},
                "Sequences of training text for block-wise training, which precedes the steps of "
                "train.steps: each block in turn learns to reproduce the output of the teacher's, "
                "with inputs from the finished blocks before it. train.steps may then be 0. 0: all "
                "blocks are trained together from the start.",
                {Decides::kRun});
  group.integer("passes", &passes, {.min = 1, .max = 1024},
                "Passes of each block through those sequences. Each pass counts sequences * "
                "data.sequence_length tokens for all blocks together.",
                {Decides::kRun});
  group.integer("batch_size", &batch_size, {.min = 1, .max = 1 << 20},
                "Sequences per step of block-wise training.", {Decides::kRun});
  group.number("learning_rate", &learning_rate, {.min = 0, .max = 1e6},
               "Peak learning rate of these steps; the schedule of optim restarts with each block. "
               "0: optim.learning_rate.",
               {Decides::kRunChangeable});
  group.number("latent_learning_rate", &latent_learning_rate, {.min = 0, .max = 1e6},
               "The same for the latents; 0: as optim.latent_learning_rate says.",
               {Decides::kRunChangeable});
  group.choice("storage", &storage, {"memory", "disk"},
               "disk: only the block that is being trained has latents and moments in memory; "
               "those of the others, and the inputs of the sequences, are in unnamed files of "
               "output.dir until all blocks are trained together. The numbers are the same.");
}

}  // namespace littlebit
