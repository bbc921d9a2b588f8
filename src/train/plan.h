// What a run makes of a model, from sizes alone: layers, ranks, bits, bytes, memory. No weights
// are needed.
#pragma once

#include "littlebit/export/folder.h"
#include "session.h"

namespace littlebit {

// Bytes of the packed export (specs section 7), without headers, shapes and buffers.
ByteTable packed_bytes(Decoder& decoder, std::span<const LayerPlan> plans);

// One part of what a training process holds at the most (docs/architecture.md, "Memory of a
// step").
struct MemoryPart {
  std::string what;
  uint64_t bytes = 0;
};
std::vector<MemoryPart> estimate_memory_parts(Decoder& decoder, std::span<const LayerPlan> plans,
                                              const RunOptions& options);

// Lines and tables for people. print_plan: layers of one kind and plan make one row; with relative
// errors once the start factors were made.
void print_model(const Session& session);
void print_plan(const Session& session);
void print_sizes(const Session& session);
void print_memory(const Session& session);

}  // namespace littlebit
