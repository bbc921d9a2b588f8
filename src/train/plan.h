// What a run makes of a model, from sizes alone: layers, ranks, bits, bytes, and the memory of a
// process (estimate.cpp). No weights
// are needed.
#pragma once

#include "session.h"

namespace littlebit {

// Lines and tables for people. print_plan: layers of one kind and plan make one row; with relative
// errors once the start factors were made.
void print_model(const Session& session);
void print_plan(const Session& session);
void print_sizes(const Session& session);
void print_memory(const Session& session);

}  // namespace littlebit
