// Rounds of a batch for each process. What became of a round is agreed behind it, so that a stop
// waits for one batch and nobody waits for a process that failed.
#include "littlebit/eval/batch_sharing.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstdlib>

#include "littlebit/core/error.h"
#include "littlebit/core/signals.h"
#include "littlebit/distributed/agreement.h"

namespace littlebit {

void BatchSharing::for_each(int64_t count, const std::string& what,
                            const std::function<void(int64_t)>& score,
                            const std::function<void(int64_t batches)>& done) const {
  const auto stop = [&] { throw Error(ExitCode::kStopped, "stopped before " + what); };
  // One batch for each process in a round. Where the forward pass itself needs all processes, every
  // batch is everybody's.
  const int64_t at_once = is_shared() ? processes_.world() : 1;
  for (int64_t first = 0; first < count; first += at_once) {
    if (is_shared()) {
      const int64_t mine = first + processes_.rank();
      in_all(processes_, [&] {
        if (stop_requested()) stop();
        if (mine < count) score(mine);
      });
    } else {
      if (processes_.any(stop_requested())) stop();
      score(first);
    }
    if (done) done(std::min(first + at_once, count));
  }
}

int64_t BatchSharing::least(int64_t value) const {
  if (processes_.world() == 1) return value;
  for (const std::string& other : processes_.gather(std::to_string(value))) {
    value = std::min<int64_t>(value, std::strtoll(other.c_str(), nullptr, 10));
  }
  return value;
}

void BatchSharing::complete(std::span<double> values, at::Device device) const {
  if (!is_shared() || values.empty()) return;
  // Each value is not zero in one process at most: the sum is exact.
  const at::Tensor sums = at::empty({static_cast<int64_t>(values.size())}, at::kDouble);
  std::copy(values.begin(), values.end(), sums.data_ptr<double>());
  const at::Tensor there = sums.to(device);  // itself where that is the CPU
  processes_.all_reduce_sum(there);
  const at::Tensor all = there.to(at::kCPU);
  std::copy_n(all.const_data_ptr<double>(), values.size(), values.begin());
}

}  // namespace littlebit
