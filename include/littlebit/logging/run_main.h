// Top-level handler: turns uncaught exceptions into a message and an exit code.
#pragma once

#include <functional>
#include <string_view>

namespace littlebit {

// Writes to standard output at once, for output that is read while it is made. OutputError where it
// cannot be written. Where its reader went away (`| head`) there is nobody to work for: the program
// ends there, with exit code 0 and without a message.
void print_output(std::string_view text);

// Opens what was closed of the standard descriptors, installs the handlers of signals.h, runs
// `body` and returns its exit code. An Error becomes its message, hint and code; memory that ran
// out (std::bad_alloc, or a library's own exception that says so) exit code 5; a reader of standard
// output that went away is no failure; a stop request that ended the work early 143; anything else
// is a bug of ours, exit code 1. Never throws.
int run_main(const std::function<int()>& body) noexcept;

}  // namespace littlebit
