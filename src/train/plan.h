// What a run makes of a model, from sizes alone: layers, ranks, bits, bytes, and the memory of a
// process (estimate.cpp). No weights are needed.
#pragma once

#include <span>

#include "session.h"

namespace littlebit {

// Lines and tables for people. print_plan: layers of one kind and plan make one row; with relative
// errors where `layers` are given.
void print_model(const Session& session);
void print_plan(const Session& session, std::span<const LayerReport> layers = {});
void print_sizes(const Session& session);
void print_memory(const Session& session);

// Under recipe best: a warning where the text would allow more updates than the run has, and what
// would give them. `steps` 0: not known yet, and nothing is said.
void warn_of_few_updates(const Session& session, int64_t steps);

// What the estimate decides where it is left to it; the session's options hold the answers.
// train.teacher, on a CPU: streamed where the files hold another type than the products need, and
// enough tokens run at once to pay for it. optim.state_device: cpu where a process's device has too
// little memory and its host enough. train.recompute: none where a process then takes at most half
// of what is free for it now, else full.
void choose_by_memory(Session& session);

// Whether the teacher fits neither whole nor, of several processes, divided into a device with so
// much free, by the estimate, and does where its blocks are streamed.
bool fits_streamed_only(const Session& session, double free);

}  // namespace littlebit
