// What a person sees: messages on stderr, one live progress line on a terminal (plain lines
// elsewhere), tables.
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

// Progress of one piece of long work: what, how far, how fast, how long still.
//   Progress progress("tokenising", total_bytes, "B");
//   progress.update(done);
//   progress.finish("1.2 M tokens");
// On a terminal one line is rewritten at most ten times a second; elsewhere a plain line appears at
// most every `plain_seconds`, as it does in the log file. The destructor clears an unfinished line.
// Of several at once the one updated last is shown.
class Progress {
 public:
  // total <= 0: unknown. `first`: where the count begins, so that a resumed run shows its own rate.
  // `unit`: a plural ("steps"; "s/step" where one takes long); "B" is written as KiB, MiB, ...
  Progress(std::string what, int64_t total, std::string unit, double plain_seconds = 10,
           int64_t first = 0);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();
  // `note` is put behind the bar: "layer 12, rank 544". With plain_seconds = 0 every update is a
  // plain line (off a terminal).
  void update(int64_t done, std::string_view note = "");
  void finish(std::string_view note = "");

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// A table with aligned columns; those of `left` are left-aligned, the rest right-aligned. Printed
// to stderr as info.
class Table {
 public:
  explicit Table(std::vector<std::string> header, std::vector<size_t> left = {0})
      : rows_{std::move(header)}, left_(std::move(left)) {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::string text() const;      // lines ending in "\n", a rule under the header
  std::string markdown() const;  // a Markdown table, aligned for reading as it is too
  void print() const;

 private:
  std::vector<size_t> widths() const;  // by column, in characters
  std::string padded(const std::vector<std::string>& row, size_t column, size_t width) const;

  std::vector<std::vector<std::string>> rows_;
  std::vector<size_t> left_;
};

}  // namespace littlebit
