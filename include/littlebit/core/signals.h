// Signals that ask a program to stop (SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU): the
// handler sets a flag, nothing else; long work asks for it at points where stopping is safe. One
// that whoever started the program had ignored stays ignored (nohup). SIGXFSZ and SIGPIPE are
// ignored: a file size limit ends in the file layer's OutputError and not in a kill, and a run does
// not die with the program that shows its messages.
#pragma once

#include <string_view>

namespace littlebit {

void install_stop_handlers();  // once, from main. A second SIGINT ends the process at once (exit
                               // 130).
bool stop_requested();         // async-signal-safe, any thread
// "SIGTERM": the first signal that told this process to stop; "" where none did.
std::string_view stop_signal_name();
void clear_stop_request();  // tests

// While one lives, a stop signal ends the process at once with exit code 143 and a line that says
// `message`: for calls of others that cannot be interrupted, where there is nothing to save. One
// that came before has the same effect. One object at a time.
class StopEndsAtOnce {
 public:
  explicit StopEndsAtOnce(const char* message);  // lives as long
  StopEndsAtOnce(const StopEndsAtOnce&) = delete;
  StopEndsAtOnce& operator=(const StopEndsAtOnce&) = delete;
  ~StopEndsAtOnce();
};

}  // namespace littlebit
