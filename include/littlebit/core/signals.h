// SIGTERM and SIGINT: the handler sets a flag, nothing else; long work asks for it at points where
// stopping is safe. SIGXFSZ and SIGPIPE are ignored: a file size limit ends in the file
// layer's OutputError and not in a kill, and a run does not die with the program that shows its
// messages.
#pragma once

namespace littlebit {

void install_stop_handlers();  // once, from main. A second SIGINT ends the process at once (exit
                               // 130).
bool stop_requested();         // async-signal-safe, any thread
void clear_stop_request();     // tests

}  // namespace littlebit
