// How much memory a process of a run takes at the most, from sizes alone: tensors that stay, of a
// step those alive at its worst moment, and what comes to them. What is mapped from the model's
// files is not counted (the system may drop its pages), nor is what a started program holds.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "littlebit/models/decoder.h"
#include "littlebit/quant/bit_budget.h"
#include "littlebit/train/options.h"
#include "sharding.h"

namespace littlebit {

struct MemoryPart {
  std::string what;
  double bytes = 0;      // products of settings that may be absurd: they must not wrap
  bool on_host = false;  // memory of a GPU's host, not the device's
};

// The names of the last part, on a CPU and on a GPU: what is not tensors.
inline constexpr const char* kBesideTensors = "libraries, pages kept";
inline constexpr const char* kContextAndGaps = "context, workspaces, gaps (assumed)";

// Of the process `choice.rank`: one part for each row of docs/architecture.md, "Memory of a step";
// their sum is the peak. Where blocks are trained one by one first: of the phase that takes more.
// `decoder` holds no weights; `device` is where the run computes; `stored`: the type of the
// teacher's matrices in its files, undefined where that is not known.
std::vector<MemoryPart> memory_parts(Decoder& decoder, std::span<const LayerPlan> plans,
                                     const RunOptions& options, at::Device device,
                                     std::optional<at::ScalarType> stored,
                                     const ShardingChoice& choice = {});

// What a step of the process copies between a device and its host, in bytes.
struct HostCopies {
  double to_device = 0, to_host = 0;
};
HostCopies host_copies(Decoder& decoder, std::span<const LayerPlan> plans,
                       const RunOptions& options, at::Device device, const ShardingChoice& choice);

// The sums of what is on the device, and of what is on its host.
double device_bytes(std::span<const MemoryPart> parts);
double host_bytes(std::span<const MemoryPart> parts);

}  // namespace littlebit
