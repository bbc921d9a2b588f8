// Where messages go: stderr, which may carry one live line at its bottom, and the log file. Inside
// logging only.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace littlebit::sinks {

enum class Level { kInfo, kWarning, kError };

void message(Level level, std::string_view text);  // to both
void file_only(std::string_view text);             // as kInfo
void open_file(const std::filesystem::path& path);
void show_problems_only();

bool on_terminal();  // stderr is a terminal that can rewrite a line
int columns();       // of that terminal, at least 20

// The live line of `owner`; the one set last is shown, and again below every message. No-ops off a
// terminal.
void show_live(const void* owner, std::string line);
void hide_live(const void* owner);

size_t width(std::string_view text);                        // characters, not bytes
std::string_view fitting(std::string_view text, size_t n);  // the first n characters

}  // namespace littlebit::sinks
