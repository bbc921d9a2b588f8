// `--nproc N`: a program that starts itself N times on this host, one process for each GPU or share
// of the cores. What starts them touches neither ATen nor a device; it relays what they write, and
// ends when all have ended.
//
// Lines of the processes come out whole, with their rank before them: "[2] ...". Signals that are
// sent to the launcher (SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGXCPU) go on to every
// process. When one fails the others are asked to stop (SIGTERM, and SIGCONT for one that was
// stopped), and killed after a grace period; they stop, too, when the launcher itself is killed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace littlebit {

struct Launch {
  std::string program;                 // a path
  std::vector<std::string> arguments;  // the first is the program's name
  int64_t processes = 1;
  double grace_seconds = 60;  // from the first bad end on
};

// Starts the processes with the variables that read_environment() reads, and waits for them.
// Returns the exit code that decides: the first that is neither 0 nor what follows from another's
// end (75; 143 where nobody sent a signal). 75 where that leaves none: a process was killed from
// outside. 1 for one that crashed. OutputError where a process cannot be started. One call at a
// time, from the main thread.
int launch(const Launch& launch);

}  // namespace littlebit
