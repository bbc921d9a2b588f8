// How many sequences are run together. Scores depend on it by rounding only.
#pragma once

#include <algorithm>
#include <cstdint>

namespace littlebit {

struct BatchSize {
  int64_t sequences = 0;  // per forward pass; 0: as many as have about `tokens`
  int64_t tokens = 4096;

  BatchSize(int64_t number_of_sequences = 0) : sequences(number_of_sequences) {}  // NOLINT

  // Sequences of `length` tokens in a forward pass, at least 1.
  int64_t of_length(int64_t length) const {
    return sequences > 0 ? sequences : std::max<int64_t>(1, tokens / length);
  }
};

}  // namespace littlebit
