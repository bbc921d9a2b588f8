// The table of starts, and what holds for each of them.
#include "littlebit/quant/starts.h"

#include <ATen/ops/linalg_vector_norm.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "littlebit/core/error.h"
#include "littlebit/core/stopwatch.h"
#include "littlebit/core/strings.h"
#include "start_rows.h"

namespace littlebit {
namespace {

// Squares of what is smaller, and their sums with some factors, are finite in fp32. No model that
// computes anything comes near.
constexpr double kLargestNorm = 1e15;

bool names(const Start& start, std::string_view key) {
  return std::find(start.options.begin(), start.options.end(), key) != start.options.end();
}

}  // namespace

const std::vector<Start>& starts() {
  static const std::vector<Start> kStarts = {dual_svid(), joint_itq(), lb_admm()};
  return kStarts;
}

std::vector<std::string> start_names() {
  std::vector<std::string> all;
  for (const Start& start : starts()) all.push_back(start.name);
  return all;
}

const Start& find_start(std::string_view name) {
  const auto found = std::find_if(starts().begin(), starts().end(),
                                  [&](const Start& start) { return start.name == name; });
  LB_ASSERT(found != starts().end(), "no start `" + std::string(name) + "`");
  return *found;
}

// An option that no start names matters to all of them.
bool depends_on(const Start& start, std::string_view key) {
  return names(start, key) || std::none_of(starts().begin(), starts().end(),
                                           [&](const Start& other) { return names(other, key); });
}

LayerFactors factorize_layer(const LayerInput& input, const QuantOptions& options) {
  c10::NoGradGuard no_grad;
  const Stopwatch stopwatch;
  const double norm = at::linalg_vector_norm(input.weight).item<double>();
  // Written so that NaN is refused, too.
  if (!(norm < kLargestNorm)) {
    throw InputError("the weight of " + input.plan.name + " has norm " + format_digits(norm, 3) +
                         ": its square overflows fp32",
                     "the file is damaged (one flipped bit is enough); download or copy it again");
  }
  const Start& start = find_start(options.init);
  LB_ASSERT(!start.needs.input_square || input.input_square.defined(), "statistics of inputs");
  LB_ASSERT(!start.needs.output_square || input.output_square.defined(), "statistics of outputs");
  LayerFactors factors = start.make(input, options);
  factors.seconds = stopwatch.seconds();
  return factors;
}

}  // namespace littlebit
