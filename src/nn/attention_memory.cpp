// By formulas, for each way that causal_attention goes (functional.cpp).
#include "littlebit/nn/attention_memory.h"

#include <algorithm>

#include "littlebit/device/device.h"
#include "littlebit/ops/causal_attention.h"
#include "nn/attention_chunks.h"

namespace littlebit {
namespace {

// Of all chunks and of the largest one: pairs of a query and a key that is looked at, and keys.
struct Chunks {
  double pairs = 0, keys = 0, largest_pairs = 0, largest_keys = 0;
};

Chunks chunks_of(int64_t length, int64_t window, bool one_call) {
  Chunks chunks;
  const int64_t size = one_call ? length : chunk_size(length, window);
  for (int64_t begin = 0; begin < length; begin += size) {
    const int64_t end = std::min(length, begin + size);
    const int64_t first = window > 0 ? std::max<int64_t>(0, begin - window + 1) : 0;
    const auto keys = static_cast<double>(end - first);
    const double pairs = static_cast<double>(end - begin) * keys;
    chunks.pairs += pairs;
    chunks.keys += keys;
    chunks.largest_pairs = std::max(chunks.largest_pairs, pairs);
    chunks.largest_keys = std::max(chunks.largest_keys, keys);
  }
  return chunks;
}

}  // namespace

AttentionMemory attention_memory(const AttentionShape& of) {
  const int64_t window = of.window < of.length ? of.window : 0;
  const auto c = static_cast<double>(c10::elementSize(of.dtype));
  const double wide = std::max(c, 4.0);  // of what is summed
  const bool is_narrow = c < wide, is_grouped = of.heads != of.kv_heads;
  const auto number = [](int64_t n) { return static_cast<double>(n); };
  const double rows = number(of.sequences * of.length);
  const double q = c * rows * number(of.heads * of.head_dim);  // bytes
  const double k = c * rows * number(of.kv_heads * of.head_dim);
  const double log_sums = wide * rows * number(of.heads);
  AttentionMemory memory{.kept = 2 * q + 2 * k, .backward = 2 * q + 2 * k};
  if (CausalAttention::is_blocked(of.dtype, of.device)) {
    memory.kept += log_sums;
    memory.backward += CausalAttentionGradient::scratch_bytes(of.sequences, of.heads, of.kv_heads,
                                                              of.length, of.head_dim, of.dtype);
    return memory;
  }
  const bool is_one = one_call(of.length, window, of.softcap, of.device);
  if ((is_one && is_narrow) ||
      CausalAttention::is_flash(of.dtype, of.device, of.head_dim, of.softcap)) {
    // Flash attention: sums of dq, a number per row; dk and dv of each head of queries.
    memory.kept += log_sums;
    memory.backward += q * wide / c + log_sums + (is_grouped ? 2 * q : 0);
    return memory;
  }
  const Chunks chunks = chunks_of(of.length, window, is_one);
  const double key = c * number(of.sequences * of.head_dim);  // of all sequences, of one head
  if (of.softcap == 0) {
    memory.kept += log_sums;
    if (!is_one) memory.kept += q;                          // the chunks' results
    if (is_grouped && !device_traits(of.device).is_host) {  // repeated, instead of k and v
      memory.kept += 2 * key * number(of.heads) * chunks.keys - 2 * k;
      memory.backward += 2 * key * number(of.heads) * chunks.largest_keys;
    }
    return memory;
  }
  const double heads = number(of.sequences * of.heads);
  // What tanh and softmax gave, the weights as they are multiplied.
  memory.kept += (2 * wide + (is_narrow ? c : 0)) * heads * chunks.pairs;
  // Products take heads of several sequences as a copy.
  if (of.sequences > 1 && of.kv_heads > 1) {
    memory.kept += 2 * key * number(of.kv_heads) * chunks.keys - 2 * k;
  }
  // The last chunk comes first, when all is kept: gradients of the result, of weights and scores,
  // of values.
  memory.backward = q + k + 2 * wide * heads * chunks.largest_pairs;
  return memory;
}

}  // namespace littlebit
