// Knowledge distillation: what the student learns from the teacher (section `distill`), and whether
// its blocks are trained one by one before (section `blockwise`).
#pragma once

#include <cstdint>
#include <optional>

namespace littlebit {

class OptionGroup;

enum class Normalization { kReference, kPerToken };
enum class HiddenLoss { kMeanSquare, kRelative };
enum class HiddenSchedule { kConstant, kLinear, kWhileFar };

struct DistillOptions {
  double kl_weight = 1;
  HiddenLoss hidden = HiddenLoss::kMeanSquare;
  double hidden_weight = 10;
  HiddenSchedule hidden_schedule = HiddenSchedule::kConstant;
  Normalization normalization = Normalization::kReference;
  void declare(OptionGroup& group);

  // The weight of hidden states in step k (from 0) of `steps`, and beyond them. `kl`: the KL
  // divergence per token that the steps before came to, in nats; nothing before the first.
  double hidden_weight_at(int64_t k, int64_t steps, std::optional<double> kl) const;

  // The KL divergence per token of a step whose weighted loss is `loss_kl`, in sequences of
  // `length` tokens; nothing where its weight is 0.
  std::optional<double> kl_per_token(double loss_kl, int64_t length) const;
};

// Where the inputs of a block are, and the latents and moments of blocks that are not trained.
enum class BlockwiseStorage { kMemory, kDisk };

struct BlockwiseOptions {
  int64_t sequences = 0;  // 0: no such phase
  int64_t passes = 4;
  int64_t batch_size = 1;
  double learning_rate = 0, latent_learning_rate = 0;  // 0: those of optim
  BlockwiseStorage storage = BlockwiseStorage::kMemory;
  void declare(OptionGroup& group);
};

}  // namespace littlebit
