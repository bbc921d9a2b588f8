// Drawing a token, in double precision; the random number of a draw depends on seed and index only.
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "littlebit/core/error.h"
#include "littlebit/core/rng.h"
#include "littlebit/eval/generate.h"

namespace littlebit {

int32_t choose_token(const at::Tensor& logits, const GenerateOptions& options, uint64_t index) {
  const at::Tensor row = logits.to(at::kCPU, at::kFloat).contiguous();
  const std::span<const float> values(row.const_data_ptr<float>(), row.numel());
  const auto more_likely = [&](int32_t a, int32_t b) {
    return values[a] != values[b] ? values[a] > values[b] : a < b;
  };
  const bool any_nan =
      std::any_of(values.begin(), values.end(), [](float value) { return std::isnan(value); });
  const float largest = *std::max_element(values.begin(), values.end());
  if (any_nan || !std::isfinite(largest)) {
    throw NumericsError("the model's logits are not finite numbers",
                        "compute in fp32; if it does not help, the model is damaged");
  }
  if (options.temperature == 0) {
    return static_cast<int32_t>(std::max_element(values.begin(), values.end()) - values.begin());
  }

  const auto vocabulary = static_cast<int64_t>(values.size());
  const int64_t kept = options.top_k > 0 ? std::min(options.top_k, vocabulary) : vocabulary;
  std::vector<int32_t> ids(vocabulary);
  std::iota(ids.begin(), ids.end(), 0);
  std::partial_sort(ids.begin(), ids.begin() + kept, ids.end(), more_likely);
  std::vector<double> weights(kept);
  double total = 0;
  for (int64_t i = 0; i < kept; ++i) {
    weights[i] = std::exp((static_cast<double>(values[ids[i]]) - largest) / options.temperature);
    total += weights[i];
  }
  if (options.top_p < 1) {
    double sum = 0;
    size_t count = 0;
    while (count < weights.size() && sum < options.top_p * total) sum += weights[count++];
    weights.resize(std::max<size_t>(count, 1));
    total = std::accumulate(weights.begin(), weights.end(), 0.0);
  }
  const RandomStream random(static_cast<uint64_t>(options.seed), "generate");
  const double point = std::ldexp(static_cast<double>(random.bits(index) >> 11), -53) * total;
  double sum = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    sum += weights[i];
    if (point < sum) return ids[i];
  }
  return ids[weights.size() - 1];  // rounding of the sum
}

}  // namespace littlebit
