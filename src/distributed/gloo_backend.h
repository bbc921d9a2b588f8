// c10d's Gloo group, made; its headers are in one source file.
#pragma once

#include <chrono>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include "littlebit/distributed/environment.h"

namespace littlebit {

// Connects process `rank` of `world` with every other; throws std::exception where that fails in
// the time. They are those of the environment, or some of them: it says where they find each other.
c10::intrusive_ptr<c10d::Backend> connect_gloo(const Environment& environment, int64_t rank,
                                               int64_t world,
                                               const c10::intrusive_ptr<c10d::Store>& store,
                                               std::chrono::milliseconds timeout);

}  // namespace littlebit
