// `littlebit-train --estimate-memory`.
#pragma once

#include <cstdint>
#include <string>

#include "littlebit/train/options.h"

namespace littlebit {

// Which processes a run is estimated for, and with what. None of it needs to be here.
struct EstimateRequest {
  int64_t processes = 1;
  int64_t processes_per_host = 0;  // 0: as many, up to 8, as divide them
  double device_memory = 0;        // bytes; 0: fit is not asked
  double bandwidth = 0;            // bytes a second that one process sends; 0: time is not asked
};

// Prints what a process of a run would hold in memory, part by part, and what it would send in a
// step; or gives it as JSON. Needs config.json only. train.device=cuda: no GPU is opened.
void estimate_memory(const RunOptions& options, const OptionTree& tree,
                     const EstimateRequest& request = {});
std::string estimate_memory_json(const RunOptions& options, const OptionTree& tree,
                                 const EstimateRequest& request);

}  // namespace littlebit
