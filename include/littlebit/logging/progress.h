// Progress of long work: one live line on a terminal, plain lines elsewhere. Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace littlebit {

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

}  // namespace littlebit
