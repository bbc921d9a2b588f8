// What a program does with what it did not catch: one place that turns exceptions into a message
// and an exit code.
#pragma once

#include <functional>

namespace littlebit {

// Installs the handlers of signals.h, runs `body` and returns its exit code. An Error becomes its
// message, hint and code; memory that ran out (std::bad_alloc, or a library's own exception that
// says so) exit code 5; a stop request that ended the work early 143; anything else is a bug of
// ours, exit code 1. Never throws.
int run_main(const std::function<int()>& body) noexcept;

}  // namespace littlebit
