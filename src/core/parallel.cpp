// A plain fork-join loop: no pool, so nothing is left running between calls.
#include "littlebit/core/parallel.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "core/cgroup.h"
#include "littlebit/core/error.h"

namespace littlebit {
namespace {

int affinity_count() {
  for (int cpus = 1024; cpus <= 1 << 20; cpus *= 2) {
    cpu_set_t* set = CPU_ALLOC(cpus);
    if (set == nullptr) break;
    const size_t size = CPU_ALLOC_SIZE(cpus);
    const int result = sched_getaffinity(0, size, set);
    const int error = errno;
    const int count = result == 0 ? CPU_COUNT_S(size, set) : 0;
    CPU_FREE(set);
    if (result == 0) return count;
    if (error != EINVAL) break;  // EINVAL: the machine has more CPUs than the set
  }
  return static_cast<int>(std::thread::hardware_concurrency());
}

}  // namespace

int hardware_threads() {
  int threads = std::max(1, affinity_count());
  const double quota = cgroup_cpu_quota("/sys/fs/cgroup", system_text("/proc/self/cgroup"));
  if (quota < threads) threads = std::max(1, static_cast<int>(std::ceil(quota)));
  return threads;
}

void parallel_for(int64_t n, int threads, const std::function<void(int64_t)>& body) {
  std::atomic<int64_t> next{0};
  std::atomic<bool> failed{false};
  // Of the lowest index: all below it were handed out before, so it does not depend on the threads.
  std::exception_ptr first_error;
  int64_t first_index = n;
  std::mutex mutex;
  const auto work = [&] {
    while (!failed) {
      const int64_t i = next.fetch_add(1);
      if (i >= n) return;
      try {
        body(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (i < first_index) {
          first_index = i;
          first_error = std::current_exception();
        }
        failed = true;
      }
    }
  };
  {
    std::vector<std::jthread> helpers;
    try {
      for (int64_t i = 1; i < std::min<int64_t>(threads, n); ++i) helpers.emplace_back(work);
    } catch (const std::system_error&) {
      // The system gives no more threads: those that run, and this one, do the work.
    }
    work();
  }
  if (first_error) std::rethrow_exception(first_error);
}

}  // namespace littlebit
