// c10d's Gloo group, made; its headers are in one source file.
#pragma once

#include <chrono>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include "littlebit/distributed/environment.h"

namespace littlebit {

// Connects every process with every other; throws std::exception where that fails in the time.
c10::intrusive_ptr<c10d::Backend> connect_gloo(const Environment& environment,
                                               const c10::intrusive_ptr<c10d::Store>& store,
                                               std::chrono::milliseconds timeout);

}  // namespace littlebit
