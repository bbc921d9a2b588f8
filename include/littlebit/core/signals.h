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

// SIGBUS: a mapped file became shorter while it was read, or its file system failed. The process
// ends with exit code 3 and one message that names the file, and the note where there is one
// ("--resume auto goes on from ..."). Other causes end the process as ever.
void install_bus_error_handler();                // once, from main
void set_bus_error_note(std::string_view note);  // "" takes it away

}  // namespace littlebit
