// Drawing a token, in double precision; the random number of a draw depends on seed and index only.
#include "littlebit/eval/sampling.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <vector>

#include "littlebit/core/error.h"
#include "littlebit/core/rng.h"
#include "littlebit/eval/generate.h"

namespace littlebit {
namespace {

// Ids from the most probable one down. Only as many as were asked for are put in order: a draw
// seldom needs more than some dozens of a vocabulary.
class Descending {
 public:
  explicit Descending(std::span<const float> values) : values_(values), ids_(values.size()) {
    std::iota(ids_.begin(), ids_.end(), 0);
  }

  int32_t operator[](int64_t i) {
    while (i >= ordered_) order_more();
    return ids_[i];
  }

 private:
  void order_more() {
    constexpr int64_t kFirst = 64;
    const auto size = static_cast<int64_t>(ids_.size());
    const int64_t next = std::min(size, std::max(kFirst, 4 * ordered_));
    const auto more_likely = [&](int32_t a, int32_t b) {
      return values_[a] != values_[b] ? values_[a] > values_[b] : a < b;
    };
    const auto first = ids_.begin() + ordered_, last = ids_.begin() + next;
    if (next < size) std::nth_element(first, last, ids_.end(), more_likely);
    std::sort(first, last, more_likely);
    ordered_ = next;
  }

  std::span<const float> values_;
  std::vector<int32_t> ids_;
  int64_t ordered_ = 0;  // of ids_, from the front
};

}  // namespace

int32_t sample_token(const at::Tensor& logits, const GenerateOptions& options, uint64_t index) {
  const at::Tensor row = logits.to(at::kCPU, at::kFloat).contiguous();
  const std::span<const float> values(row.const_data_ptr<float>(), row.numel());
  const bool any_nan =
      std::any_of(values.begin(), values.end(), [](float value) { return std::isnan(value); });
  // Subtracted before the powers: no weight overflows, and the likeliest token has weight 1.
  const float largest = *std::max_element(values.begin(), values.end());
  if (any_nan || !std::isfinite(largest)) {
    throw NumericsError("the model's logits are not finite numbers",
                        "compute in fp32; if it does not help, the model is damaged");
  }
  if (options.temperature == 0) {
    return static_cast<int32_t>(std::max_element(values.begin(), values.end()) - values.begin());
  }

  const auto vocabulary = static_cast<int64_t>(values.size());
  int64_t kept = options.top_k > 0 ? std::min(options.top_k, vocabulary) : vocabulary;
  const auto weight = [&](int32_t id) {
    return std::exp((static_cast<double>(values[id]) - largest) / options.temperature);
  };
  Descending order(values);
  // The sum of the first `count` weights; of all of them in no special order.
  const auto sum_of = [&](int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; ++i) {
      sum += weight(count < vocabulary ? order[i] : static_cast<int32_t>(i));
    }
    return sum;
  };
  double total = sum_of(kept);
  if (options.top_p < 1) {
    const double wanted = options.top_p * total;
    double sum = 0;
    int64_t count = 0;
    // The nucleus: the fewest tokens whose weights reach top_p of the sum, the one that reaches it
    // included.
    while (count < kept && sum < wanted) sum += weight(order[count++]);
    kept = std::max<int64_t>(count, 1);
    total = sum_of(kept);
  }
  // 53 bits, all that a double in [0, 1) has. The draw of token i is a function of seed and i.
  const RandomStream random(static_cast<uint64_t>(options.seed), "generate");
  const double point = std::ldexp(static_cast<double>(random.bits(index) >> 11), -53) * total;
  double sum = 0;
  // The inverse of the cumulative distribution; rounding may leave the point behind the last sum,
  // which is why the last token needs no comparison.
  for (int64_t i = 0; i < kept - 1; ++i) {
    sum += weight(order[i]);
    if (point < sum) return order[i];
  }
  return order[kept - 1];
}

}  // namespace littlebit
