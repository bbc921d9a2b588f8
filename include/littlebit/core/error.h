// What went wrong, for whom, and with which exit code.
//
// User-visible failures are exceptions of one type, Error: one message that says what failed, where
// and what was expected, one hint that says what to try, and the exit code of docs/resume.md.
// Expected outcomes are return values. Our own bugs are LB_ASSERT. apps/ catch Error once, at the
// top.
#pragma once

#include <stdexcept>
#include <string>

namespace littlebit {

// Process exit codes. Part of the command-line contract: never renumber.
enum class ExitCode : int {
  kDone = 0,
  kBug = 1,        // a bug of ours
  kUsage = 2,      // usage or configuration
  kInput = 3,      // input missing, corrupt, NaN or unsupported
  kNumerics = 4,   // numbers went bad during a run
  kOutput = 5,     // output not writable, disk or memory full
  kPeerLost = 75,  // another process is in the way, or was lost: start again
  kStopped = 143,  // stop requested by a signal or train.time_limit; state saved
};

class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message, std::string hint = "")
      : std::runtime_error(message), code_(code), hint_(std::move(hint)) {}

  ExitCode code() const { return code_; }
  const std::string& hint() const { return hint_; }  // "" where there is nothing to advise

 private:
  ExitCode code_;
  std::string hint_;
};

// The four kinds that most code throws.
struct UsageError : Error {
  explicit UsageError(const std::string& message, std::string hint = "")
      : Error(ExitCode::kUsage, message, std::move(hint)) {}
};
struct InputError : Error {
  explicit InputError(const std::string& message, std::string hint = "")
      : Error(ExitCode::kInput, message, std::move(hint)) {}
};
struct NumericsError : Error {
  explicit NumericsError(const std::string& message, std::string hint = "")
      : Error(ExitCode::kNumerics, message, std::move(hint)) {}
};
struct OutputError : Error {
  explicit OutputError(const std::string& message, std::string hint = "")
      : Error(ExitCode::kOutput, message, std::move(hint)) {}

 protected:
  OutputError(ExitCode code, const std::string& message, std::string hint)
      : Error(code, message, std::move(hint)) {}
};

// A broken promise of our own code. Never reachable from user input; ends in exit code 1.
[[noreturn]] void assertion_failed(const char* condition, const char* file, int line,
                                   const std::string& message);

}  // namespace littlebit

#define LB_ASSERT(condition, message)                                                         \
  do {                                                                                        \
    if (!(condition)) ::littlebit::assertion_failed(#condition, __FILE__, __LINE__, message); \
  } while (0)
