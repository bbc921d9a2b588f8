// Blocks are small enough to stay in the second cache: each pass over one is cheap beside the
// products around it.
#include "littlebit/kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "floats.h"
#include "variants.h"

namespace littlebit {
namespace {

// Of `count` places from `first` on, those that lie in begin .. end - 1, counted from `first`.
struct Seen {
  Seen(int64_t begin_at, int64_t end_at, int64_t first, int64_t count)
      : begin(std::clamp<int64_t>(begin_at - first, 0, count)),
        end(std::clamp<int64_t>(end_at - first, begin, count)) {}
  int64_t begin, end;
};

template <class T>
LITTLEBIT_LOOP void fill_zero(T* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = T(0);
}

template <bool kCapped>
LITTLEBIT_LOOP float score_of(float product, const AttentionRule& rule) {
  return kCapped ? rule.softcap * tanh_of(product * (rule.scale / rule.softcap))
                 : product * rule.scale;
}

// Calls each(i) for the numbers of whole lanes, which the compiler takes at once.
template <class Each>
LITTLEBIT_LOOP void for_lanes(int64_t begin, int64_t end, const Each& each) {
  for (int64_t i = begin; i < end; i += kLanes) {
    for (int k = 0; k < kLanes; ++k) each(i + k);
  }
}

// What is seen, and what is not but shares lanes with it.
struct Lanes {
  explicit Lanes(const Seen& seen)
      : begin(seen.begin / kLanes * kLanes), end((seen.end + kLanes - 1) / kLanes * kLanes) {}
  int64_t begin, end;
};

// One block of the online softmax (ops/attention_blocks.cpp), row by row: scores, the new maximum,
// powers, their sum. What the row has mixed so far was made with the old maximum, and is scaled to
// the new one.
template <bool kCapped, class T>
LITTLEBIT_LOOP void weights_loop(const AttentionBlock<T>* block) {
  constexpr float kUnseen = -1e30F;  // a number, of which nothing remains
  const AttentionRule rule = block->rule;
  for (int64_t row = 0; row < block->queries; ++row) {
    const int64_t query = block->first_query + row;
    const Seen seen(rule.window > 0 ? query - rule.window + 1 : 0, query + 1, block->first_key,
                    block->keys);
    T* weights = block->weights + row * block->stride;
    // Nothing of this block is seen: its weights are zeros, and maximum and sum stay.
    if (seen.begin == seen.end) {
      fill_zero(weights, block->keys);
      continue;
    }
    const Lanes lanes(seen);
    float* s = block->scores + row * block->stride;
    for_lanes(lanes.begin, lanes.end, [=](int64_t i) { s[i] = score_of<kCapped>(s[i], rule); });
    // Scores beside those seen share their lanes. They must neither be the maximum nor add to the
    // sum.
    for (int64_t i = lanes.begin; i < seen.begin; ++i) s[i] = kUnseen;
    for (int64_t i = seen.end; i < lanes.end; ++i) s[i] = kUnseen;
    const float* all = s + lanes.begin;
    const int64_t count = lanes.end - lanes.begin;
    const float before = block->most[row];
    const float most = std::max(before, most_of(count, [=](int64_t i) { return all[i]; }));
    const float shrink = exp_of(before - most);
    // exp_of() and most_of() give numbers for what is none.
    const float nothing = sum_of(count, [=](int64_t i) { return all[i] * 0; });
    for_lanes(lanes.begin, lanes.end, [=](int64_t i) { s[i] = exp_of(s[i] - most); });
    const float sum = sum_of(count, [=](int64_t i) { return all[i]; });
    // Weights in bf16 are rounded for the product alone: the sum above is that of fp32.
    if (static_cast<const void*>(weights) != s) {
      for_lanes(lanes.begin, lanes.end, [=](int64_t i) { store(weights + i, s[i]); });
    }
    // exp_of() ends at e^-87.3, not at 0.
    fill_zero(weights, seen.begin);
    fill_zero(weights + seen.end, block->keys - seen.end);
    block->most[row] = most;
    block->sum[row] = block->sum[row] * shrink + sum + nothing;
    // Most blocks bring no larger score: then there is nothing to scale.
    if (block->output == nullptr || shrink == 1) continue;
    float* output = block->output + row * block->size;
    for (int64_t i = 0; i < block->size; ++i) output[i] *= shrink;
  }
}

// P and dS of one block, transposed: a row is a key, and the queries that see it are those from its
// own position on, up to the window's end. With the soft cap's derivative, 1 - (s / cap)^2, where
// there is one.
template <bool kCapped, class T>
LITTLEBIT_LOOP void gradient_loop(const AttentionGradientBlock<T>* block) {
  const AttentionRule rule = block->rule;
  const float* log_sum = block->log_sum;
  const float* delta = block->delta;
  for (int64_t row = 0; row < block->keys; ++row) {
    const int64_t key = block->first_key + row;
    const Seen seen(key, rule.window > 0 ? key + rule.window : std::numeric_limits<int64_t>::max(),
                    block->first_query, block->queries);
    const Lanes lanes(seen);
    const float* s = block->scores + row * block->stride;
    const float* d = block->d_weights + row * block->stride;
    T* weights = block->weights + row * block->stride;
    T* d_scores = block->d_scores + row * block->stride;
    for_lanes(lanes.begin, seen.begin == seen.end ? lanes.begin : lanes.end, [=](int64_t i) {
      const float score = score_of<kCapped>(s[i], rule);
      const float weight = exp_of(score - log_sum[i]);
      float by_product = weight * (d[i] - delta[i]) * rule.scale;
      if (kCapped) by_product *= 1 - (score / rule.softcap) * (score / rule.softcap);
      store(weights + i, weight);
      store(d_scores + i, by_product);
    });
    // Lanes beyond what is seen were computed, too, from whatever stood there.
    for (T* to : {weights, d_scores}) {
      fill_zero(to, seen.begin);
      fill_zero(to + seen.end, block->stride - seen.end);
    }
  }
}

template <class T>
LITTLEBIT_LOOP void end_loop(const AttentionEnd<T>* end) {
  for (int64_t row = 0; row < end->x.rows; ++row) {
    const float* x = end->x.data + row * end->x.stride;
    T* y = end->y + row * end->y_stride;
    // A row sees at least itself, so that the sum is not 0.
    const float part = 1 / end->sum[row];
    for (int64_t i = 0; i < end->x.cols; ++i) store(y + i, x[i] * part);
    end->log_sum[row] = end->most[row] + std::log(end->sum[row]);
  }
}

template <class T>
LITTLEBIT_LOOP void delta_loop(const AttentionDelta<T>* job) {
  for (int64_t row = 0; row < job->dy.rows; ++row) {
    const T* dy = job->dy.data + row * job->dy.stride;
    const T* y = job->y + row * job->y_stride;
    const float sum = sum_of(job->dy.cols, [=](int64_t i) { return widen(dy[i]) * widen(y[i]); });
    job->delta[row] = job->d_log_sum == nullptr ? sum : sum - job->d_log_sum[row];
  }
}

}  // namespace

void attention_weights(const AttentionBlock<float>& block, Instructions use) {
  block.rule.softcap > 0 ? run_variant<weights_loop<true, float>>(use, &block)
                         : run_variant<weights_loop<false, float>>(use, &block);
}
void attention_weights(const AttentionBlock<uint16_t>& block, Instructions use) {
  block.rule.softcap > 0 ? run_variant<weights_loop<true, uint16_t>>(use, &block)
                         : run_variant<weights_loop<false, uint16_t>>(use, &block);
}

void attention_gradient(const AttentionGradientBlock<float>& block, Instructions use) {
  block.rule.softcap > 0 ? run_variant<gradient_loop<true, float>>(use, &block)
                         : run_variant<gradient_loop<false, float>>(use, &block);
}
void attention_gradient(const AttentionGradientBlock<uint16_t>& block, Instructions use) {
  block.rule.softcap > 0 ? run_variant<gradient_loop<true, uint16_t>>(use, &block)
                         : run_variant<gradient_loop<false, uint16_t>>(use, &block);
}

void end_attention(const AttentionEnd<float>& end, Instructions use) {
  run_variant<end_loop<float>>(use, &end);
}
void end_attention(const AttentionEnd<uint16_t>& end, Instructions use) {
  run_variant<end_loop<uint16_t>>(use, &end);
}

void attention_delta(const AttentionDelta<float>& job, Instructions use) {
  run_variant<delta_loop<float>>(use, &job);
}
void attention_delta(const AttentionDelta<uint16_t>& job, Instructions use) {
  run_variant<delta_loop<uint16_t>>(use, &job);
}

}  // namespace littlebit
