// Bootstrapped errors on all cores: each seed's samples are a part of their own.
#include "bootstrap.h"

#include <cmath>
#include <numeric>
#include <vector>

#include "littlebit/core/parallel.h"
#include "python_random.h"

namespace littlebit {
namespace {

constexpr int64_t kSeeds = 100, kSamplesOfSeed = 1000;

double mean(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

double perplexity_of(std::span<const double> loglikelihoods) {
  return std::exp(-mean(loglikelihoods));
}

// As lm-evaluation-harness does it: 100 seeds with 1,000 resamples of all documents each, drawn by
// Python's generator, and the standard deviation of their perplexities.
double perplexity_stderr(std::span<const double> loglikelihoods) {
  if (loglikelihoods.size() < 2) return 0;
  const auto size = static_cast<double>(loglikelihoods.size());
  std::vector<double> samples(kSeeds * kSamplesOfSeed);
  parallel_for(kSeeds, hardware_threads(), [&](int64_t seed) {
    PythonRandom random(static_cast<uint32_t>(seed));
    for (int64_t i = 0; i < kSamplesOfSeed; ++i) {
      double sum = 0;
      for (size_t k = 0; k < loglikelihoods.size(); ++k) {
        sum += loglikelihoods[static_cast<size_t>(std::floor(random.real() * size))];
      }
      samples[static_cast<size_t>(seed * kSamplesOfSeed + i)] = std::exp(-sum / size);
    }
  });
  const double middle = mean(samples);
  double squares = 0;
  for (const double sample : samples) squares += (sample - middle) * (sample - middle);
  return std::sqrt(squares / static_cast<double>(samples.size() - 1));
}

}  // namespace littlebit
