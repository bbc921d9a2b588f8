// Relays what a process writes into a pipe, in whole lines with a mark before each.
#pragma once

#include <string>
#include <string_view>

namespace littlebit {

class LineRelay {
 public:
  // Reads `from`, which it closes at its end, and writes to the descriptor `to`.
  LineRelay(int from, int to, std::string mark);
  LineRelay(LineRelay&& other) noexcept;
  LineRelay& operator=(LineRelay&&) = delete;
  ~LineRelay();

  int descriptor() const { return from_; }  // -1: at its end
  // Relays what can be read without waiting.
  void relay();
  // No more will come: what is left is a line, too.
  void close();

 private:
  void write_lines(std::string_view bytes);
  int from_, to_;
  std::string mark_, rest_;
};

}  // namespace littlebit
