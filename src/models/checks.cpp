// Ids, lengths and positions that a decoder cannot run with, refused before anything is computed.
#include "checks.h"

#include <algorithm>

#include "littlebit/core/error.h"

namespace littlebit {

void check_id_range(const ModelSpec& spec, int64_t low, int64_t high) {
  if (low >= 0 && high < spec.vocab_size) return;
  throw InputError("token ids range from " + std::to_string(low) + " to " + std::to_string(high) +
                       ", the model knows 0 to " + std::to_string(spec.vocab_size - 1),
                   "use the tokenizer that belongs to the model");
}

void check_ids(const ModelSpec& spec, std::span<const int32_t> ids) {
  const auto [low, high] = std::minmax_element(ids.begin(), ids.end());
  check_id_range(spec, *low, *high);
}

void check_length(const ModelSpec& spec, int64_t length) {
  if (!spec.learned_positions || length <= spec.max_positions) return;
  throw InputError("sequences of " + std::to_string(length) + " tokens, the model has " +
                   std::to_string(spec.max_positions) + " positions");
}

}  // namespace littlebit
