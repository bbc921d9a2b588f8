// Messages for people, on stderr.
//
// Thread-safe. Colour only on a terminal and only where NO_COLOR is unset or empty. The same
// messages, with times and without colour, go to a log file once open_log_file() was called.
// Control characters in messages are made visible.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace littlebit {

void log_info(std::string_view message);
void log_warning(std::string_view message);  // "warning: ..."
// "error: ..." and, where given, "hint: ..." on the next line.
void log_error(std::string_view message, std::string_view hint = "");
// From now on warnings and errors only, and no progress: in all processes of a run but the first.
void show_problems_only();
// Appends. A log file that cannot be written later on is given up with a warning.
void open_log_file(const std::filesystem::path& file);

}  // namespace littlebit
