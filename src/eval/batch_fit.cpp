// The estimate behind eval.batch_size=auto.
#include "batch_fit.h"

#include <algorithm>
#include <cstdlib>

#include "littlebit/core/strings.h"
#include "littlebit/device/device.h"
#include "littlebit/device/memory.h"
#include "littlebit/eval/options.h"
#include "littlebit/logging/console.h"

namespace littlebit {
namespace {

constexpr int64_t kLogitBytes = 256ll << 20;  // rows of logits, pieces of packed factors
constexpr int64_t kMaxTokens = 1 << 18;       // more makes no pass faster

// For one of the processes that share a host's memory, or that has a device of its own.
int64_t free_bytes(at::Device device, int64_t processes) {
  const int64_t sharers = device_traits(device).is_host ? processes : 1;
  return static_cast<int64_t>(free_memory(device)) / sharers;
}

}  // namespace

int64_t forward_bytes_per_token(const ModelSpec& spec, int64_t element_bytes, int64_t length) {
  constexpr int64_t kFloat = sizeof(float);
  const int64_t queries = spec.num_heads * spec.head_dim, keys = spec.num_kv_heads * spec.head_dim;
  const int64_t residual = 3 * spec.hidden_size * kFloat + spec.embedding_size * kFloat;
  // q, k and v, rotated copies, keys and values for every head, and the scores where a mask has
  // them made.
  const int64_t attention = element_bytes * (spec.hidden_size + 5 * queries + 4 * keys) +
                            spec.num_heads * length * 2 * kFloat + length * kFloat;
  const int64_t mlp = element_bytes * (spec.hidden_size + 4 * spec.intermediate_size);
  return residual + std::max(attention, mlp);
}

BatchSize settled_batch(const std::string& option, const Decoder& decoder, int64_t length,
                        const BatchSharing& sharing) {
  if (option != kAutoBatch) return BatchSize(std::strtoll(option.c_str(), nullptr, 10));
  const auto element_bytes = static_cast<int64_t>(c10::elementSize(decoder.compute_dtype()));
  const int64_t per_token = forward_bytes_per_token(decoder.spec(), element_bytes, length);
  // Half of what is free: the estimate may be too low, and others may need memory meanwhile.
  const int64_t room = free_bytes(decoder.device(), sharing.processes()) / 2 - kLogitBytes;
  const int64_t fitting = std::clamp(room / per_token, std::min(length, kMaxTokens), kMaxTokens);
  BatchSize batch;
  // The same in all processes: batches are divided by their numbers, so all must cut alike.
  batch.tokens = sharing.least(fitting);
  log_info("eval.batch_size auto: up to " + format_count(batch.tokens) +
           " tokens in a forward pass, about " +
           format_bytes(static_cast<uint64_t>(batch.tokens * per_token)));
  return batch;
}

}  // namespace littlebit
