// What a run makes of a model, from sizes alone: layers, ranks, bits, bytes, and the memory of a
// process (estimate.cpp). No weights are needed.
#pragma once

#include "session.h"

namespace littlebit {

// Lines and tables for people. print_plan: layers of one kind and plan make one row; with relative
// errors once the initial factors were computed.
void print_model(const Session& session);
void print_plan(const Session& session);
void print_sizes(const Session& session);
void print_memory(const Session& session);

// train.teacher: auto on a CPU: streamed where the files hold another type than the products need,
// and enough tokens run at once to pay for it. The session's options hold the answer.
void choose_teacher(Session& session);

// Whether the teacher fits neither whole nor, of several processes, divided into a device with so
// much free, by the estimate, and does where its blocks are streamed.
bool fits_streamed_only(const Session& session, double free);

// Where train.recompute is auto: none where a process of the run, by the estimate, then takes at
// most half of what is free for it now, else full. The session's options hold the answer.
void choose_recompute(Session& session);

}  // namespace littlebit
