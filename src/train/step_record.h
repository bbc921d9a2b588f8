// What one training step is recorded as: a line of metrics.jsonl, and TensorBoard's scalars
// (docs/formats.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "littlebit/io/json.h"
#include "littlebit/report/run_files.h"

namespace littlebit {

struct StepRecord {
  int64_t step = 0;                     // from 1
  std::optional<int64_t> block;         // from 1: the one that is trained, where it is only one
  double loss_kl = 0, loss_hidden = 0;  // weighted, before the update
  double learning_rate = 0;             // of this update; that of scales, biases and norms
  double latent_learning_rate = 0;
  double grad_norm = 0;           // before clipping
  double sign_flip_fraction = 0;  // share of latent signs that the update changed
  int64_t tokens = 0;             // so far, this step's among them
  double tokens_per_second = 0;   // of this step, as `seconds`
  double seconds = 0;
  // Of `seconds`, by what they were spent on; "waiting" for other processes lies within the others.
  std::vector<std::pair<std::string, double>> part_seconds;
  // Time of the step's matrix products, each alone, over `seconds`; nothing where unknown.
  std::optional<double> product_share;

  double loss() const { return loss_kl + loss_hidden; }
};

// A line of metrics.jsonl.
Json metrics_line(const StepRecord& record);

// What of it TensorBoard draws, by tag: all but the step and the time.
std::vector<std::pair<std::string, double>> scalars_of(const StepRecord& record);

}  // namespace littlebit
