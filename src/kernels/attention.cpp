// Blocks are small enough to stay in the second cache: each pass over one is cheap beside the
// products around it.
#include "littlebit/kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "floats.h"
#include "variants.h"

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

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

template <bool kCapped, class T>
LITTLEBIT_LOOP void weights_loop(const AttentionBlock<T>* block) {
  constexpr float kUnseen = -1e30F;  // a number, of which nothing remains
  const AttentionRule rule = block->rule;
  for (int64_t row = 0; row < block->queries; ++row) {
    const int64_t query = block->first_query + row;
    const Seen seen(rule.window > 0 ? query - rule.window + 1 : 0, query + 1, block->first_key,
                    block->keys);
    T* weights = block->weights + row * block->stride;
    if (seen.begin == seen.end) {
      fill_zero(weights, block->keys);
      continue;
    }
    const Lanes lanes(seen);
    float* s = block->scores + row * block->stride;
    for_lanes(lanes.begin, lanes.end, [=](int64_t i) { s[i] = score_of<kCapped>(s[i], rule); });
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
    if (static_cast<const void*>(weights) != s) {
      for_lanes(lanes.begin, lanes.end, [=](int64_t i) { store(weights + i, s[i]); });
    }
    fill_zero(weights, seen.begin);
    fill_zero(weights + seen.end, block->keys - seen.end);
    block->most[row] = most;
    block->sum[row] = block->sum[row] * shrink + sum + nothing;
    if (block->output == nullptr || shrink == 1) continue;
    float* output = block->output + row * block->size;
    for (int64_t i = 0; i < block->size; ++i) output[i] *= shrink;
  }
}

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

template <class T>
void copy(const RowsOf<const T>& from, const RowsOf<T>& to) {
  for (int64_t row = 0; row < to.rows; ++row) {
    T* y = to.data + row * to.stride;
    if (row < from.rows) {
      std::copy_n(from.data + row * from.stride, to.cols, y);
    } else {
      std::fill_n(y, to.cols, T(0));
    }
  }
}

// to(row, column) = from(column, row), by squares that stay in the first cache.
template <class From, class To>
void transpose(int64_t rows, int64_t cols, const From& from, const To& to) {
  constexpr int64_t kSide = 16;
  for (int64_t c = 0; c < cols; c += kSide) {
    const int64_t end = std::min(cols, c + kSide);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t i = c; i < end; ++i) to(r, i, from(i, r));
    }
  }
}

// Words of four bytes: to [cols, to_stride] = from [rows, from_stride] transposed. Strides in
// words.
void turn_words(const void* from, int64_t from_stride, int64_t rows, int64_t cols, void* to,
                int64_t to_stride) {
  const auto* x = static_cast<const char*>(from);
  auto* y = static_cast<char*>(to);
  int64_t whole_rows = 0, whole_cols = 0;
#if defined(__SSE__)
  whole_rows = rows / 4 * 4;
  whole_cols = cols / 4 * 4;
  for (int64_t r = 0; r < whole_rows; r += 4) {
    for (int64_t c = 0; c < whole_cols; c += 4) {
      __m128 square[4];
      for (int i = 0; i < 4; ++i) {
        std::memcpy(&square[i], x + 4 * ((r + i) * from_stride + c), sizeof square[i]);
      }
      _MM_TRANSPOSE4_PS(square[0], square[1], square[2], square[3]);
      for (int i = 0; i < 4; ++i) {
        std::memcpy(y + 4 * ((c + i) * to_stride + r), &square[i], sizeof square[i]);
      }
    }
  }
#endif
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = r < whole_rows ? whole_cols : 0; c < cols; ++c) {
      std::memcpy(y + 4 * (c * to_stride + r), x + 4 * (r * from_stride + c), 4);
    }
  }
}

template <class T>
void turn(const RowsOf<const T>& from, const RowsOf<T>& to) {
  const int64_t cols = std::min(from.rows, to.cols);
  if constexpr (sizeof(T) == 4) {
    turn_words(from.data, from.stride, cols, to.rows, to.data, to.stride);
  } else {
    transpose(
        to.rows, cols, [&](int64_t c, int64_t r) { return from.data[c * from.stride + r]; },
        [&](int64_t r, int64_t c, T value) { to.data[r * to.stride + c] = value; });
  }
  for (int64_t row = 0; row < to.rows; ++row) {
    std::fill_n(to.data + row * to.stride + cols, to.cols - cols, T(0));
  }
}

template <class T>
void round(const RowsOf<const float>& from, const RowsOf<T>& to) {
  for (int64_t row = 0; row < to.rows; ++row) {
    const float* x = from.data + row * from.stride;
    T* y = to.data + row * to.stride;
    for (int64_t i = 0; i < to.cols; ++i) store(y + i, x[i]);
  }
}

template <class T>
void round_back(const RowsOf<const float>& from, const RowsOf<T>& to) {
  transpose(
      to.rows, to.cols, [&](int64_t c, int64_t r) { return from.data[c * from.stride + r]; },
      [&](int64_t r, int64_t c, float value) { store(to.data + r * to.stride + c, value); });
}

}  // namespace

bool multiplies_bf16() {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
  static const bool found =
      best_instructions() == Instructions::kAvx512 && __builtin_cpu_supports("avx512bf16");
  return found;
#else
  return false;
#endif
}

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

void copy_rows(const RowsOf<const float>& from, const RowsOf<float>& to) { copy(from, to); }
void copy_rows(const RowsOf<const uint16_t>& from, const RowsOf<uint16_t>& to) { copy(from, to); }

void transpose_rows(const RowsOf<const float>& from, const RowsOf<float>& to) { turn(from, to); }
void transpose_rows(const RowsOf<const uint16_t>& from, const RowsOf<uint16_t>& to) {
  turn(from, to);
}

void pair_rows(const RowsOf<const uint16_t>& from, const RowsOf<uint16_t>& to) {
  for (int64_t row = 0; row < to.rows; row += 2) {
    const uint16_t* first = from.data + row * from.stride;
    const uint16_t* second = first + from.stride;
    uint16_t* y = to.data + row * to.stride;
    for (int64_t i = 0; row + 1 < from.rows && i < to.cols; ++i) {
      y[2 * i] = first[i];
      y[2 * i + 1] = second[i];
    }
    for (int64_t i = 0; row + 1 >= from.rows && i < to.cols; ++i) {
      y[2 * i] = row < from.rows ? first[i] : uint16_t{0};
      y[2 * i + 1] = 0;
    }
  }
}

void pair_transposed_rows(const RowsOf<const uint16_t>& from, const RowsOf<uint16_t>& to) {
  const int64_t cols = std::min(from.rows, to.cols);
  if (from.stride % 2 == 0) {
    turn_words(from.data, from.stride / 2, cols, to.rows / 2, to.data, to.stride);
  } else {
    transpose(
        to.rows / 2, cols,
        [&](int64_t c, int64_t pair) {
          uint32_t both;
          std::memcpy(&both, from.data + c * from.stride + 2 * pair, sizeof both);
          return both;
        },
        [&](int64_t pair, int64_t c, uint32_t both) {
          std::memcpy(to.data + 2 * (pair * to.stride + c), &both, sizeof both);
        });
  }
  for (int64_t pair = 0; pair < to.rows / 2; ++pair) {
    std::fill_n(to.data + 2 * (pair * to.stride + cols), 2 * (to.cols - cols), uint16_t{0});
  }
}

void round_rows(const RowsOf<const float>& from, const RowsOf<float>& to) { round(from, to); }
void round_rows(const RowsOf<const float>& from, const RowsOf<uint16_t>& to) { round(from, to); }
void round_transposed(const RowsOf<const float>& from, const RowsOf<float>& to) {
  round_back(from, to);
}
void round_transposed(const RowsOf<const float>& from, const RowsOf<uint16_t>& to) {
  round_back(from, to);
}

}  // namespace littlebit
