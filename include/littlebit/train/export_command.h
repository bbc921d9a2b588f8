// `littlebit-train export`.
#pragma once

#include <filesystem>

#include "littlebit/train/options.h"

namespace littlebit {

// The config.yaml of the run that a checkpoint (or run) folder belongs to; "" where there is none.
std::filesystem::path config_of_run(const std::filesystem::path& source);

// Exports without training. `source`: a training checkpoint, or a run's folder (its newest one),
// into the formats of export.formats, with the weights of model.path beside them; or a packed
// folder, into dense weights. One format is `output` itself, several are folders in it. Replaces
// earlier exports, nothing else (UsageError).
void export_checkpoint(const RunOptions& options, const OptionTree& tree,
                       const std::filesystem::path& source, const std::filesystem::path& output);

}  // namespace littlebit
