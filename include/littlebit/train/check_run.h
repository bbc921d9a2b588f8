// `littlebit-train --check`.
#pragma once

#include "littlebit/train/run.h"

namespace littlebit {

// Everything a run would check, and its plan (layers, ranks, bits, bytes, memory, steps) printed;
// writes nothing. Where the model's folder holds no tensor files (config.json alone is enough), the
// weights, and tokenizer and texts that are not there, are named as not checked: no error.
void check_run(const RunOptions& options, const OptionTree& tree, const RunRequest& request);

}  // namespace littlebit
