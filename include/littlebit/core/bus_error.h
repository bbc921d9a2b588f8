// The signal that reading a mapped file can end in.
#pragma once

#include <string_view>

namespace littlebit {

// SIGBUS: a mapped file became shorter while it was read, or its file system failed. The process
// ends with exit code 3 and one message that names the file, and the note where there is one
// ("--resume auto goes on from ..."). Other causes end the process as ever.
void install_bus_error_handler();                // once, from main
void set_bus_error_note(std::string_view note);  // "" takes it away

}  // namespace littlebit
