// What a process sends in one step, from sizes alone, and how long that takes.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "sharding.h"

namespace littlebit {

struct TrafficPart {
  std::string what;
  std::string operation;  // as PlannedCommunicator names it
  double calls = 0;
  double payload = 0;  // bytes of the tensors, over all calls
  double sent = 0;     // of them by this process, by algorithms that send the least
};

// Sums over gradients, sign bits, blocks of a teacher that is divided, and the numbers of a step.
// Empty for one process.
std::vector<TrafficPart> traffic_parts(Decoder& decoder, std::span<const LayerPlan> plans,
                                       const RunOptions& options, const ShardingChoice& choice);

}  // namespace littlebit
