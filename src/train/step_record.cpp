// See step_record.h.
#include "step_record.h"

#include <nlohmann/json.hpp>

namespace littlebit {

Json metrics_line(const StepRecord& record) {
  Json line = {{metric_key::kStep, record.step},
               {metric_key::kLoss, record.loss()},
               {metric_key::kLossKl, record.loss_kl},
               {metric_key::kLossHidden, record.loss_hidden},
               {metric_key::kLearningRate, record.learning_rate},
               {metric_key::kLatentLearningRate, record.latent_learning_rate},
               {metric_key::kGradNorm, record.grad_norm},
               {metric_key::kSignFlipFraction, record.sign_flip_fraction},
               {metric_key::kTokens, record.tokens},
               {metric_key::kTokensPerSecond, record.tokens_per_second},
               {metric_key::kSeconds, record.seconds}};
  for (const auto& [part, seconds] : record.part_seconds) {
    line[metric_key::kSecondsByPart][part] = seconds;
  }
  if (record.block) line[metric_key::kBlock] = *record.block;
  if (record.product_share) line[metric_key::kProductShare] = *record.product_share;
  return line;
}

std::vector<std::pair<std::string, double>> scalars_of(const StepRecord& record) {
  const Json line = metrics_line(record);
  std::vector<std::pair<std::string, double>> scalars;
  for (const auto& [key, value] : line.items()) {
    if (key == metric_key::kStep || key == metric_key::kBlock || key == metric_key::kSeconds ||
        key == metric_key::kSecondsByPart) {
      continue;
    }
    scalars.emplace_back("train/" + key, value);
  }
  return scalars;
}

}  // namespace littlebit
