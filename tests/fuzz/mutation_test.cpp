// Damaged files by the ten thousand: each is refused by a clear error or gives a right result, in
// bounded time and memory. The same files every time; with the sanitizers (preset asan), which also
// watch for large allocations, a tenth of them.
#include <catch2/catch.hpp>
#include <chrono>

#include "fuzz/scratch.h"
#include "fuzz/targets.h"
#include "support/mutate.h"
#include "support/paths.h"

#if defined(__SANITIZE_ADDRESS__)
#include <cstdio>
#include <cstdlib>

// sanitizer/allocator_interface.h, which comes with Clang; GCC has the function and not the header.
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void*,
                                                                           size_t),
                                                         void (*on_free)(const volatile void*));
#endif

namespace littlebit::test {
namespace {

using Clock = std::chrono::steady_clock;

#if defined(__SANITIZE_ADDRESS__)
constexpr int kMutants = 5'000;
constexpr size_t kMaxBytes = 64u << 20;  // the files have a few hundred bytes

void watch_allocation(const volatile void*, size_t size) {
  if (size <= kMaxBytes) return;
  std::fprintf(stderr, "a damaged file led to an allocation of %zu bytes\n", size);
  std::abort();
}
#else
constexpr int kMutants = 50'000;
#endif
constexpr double kMaxSeconds = 5;  // of one file, on a machine that is busy with other things

void try_mutants(const FuzzTarget& target) {
  for (const std::string& seed : target.seeds) CHECK(target.run(seed));
  Mutator mutate(20, target.words);
  int refused = 0;
  double slowest = 0;
  for (int i = 0; i < kMutants; ++i) {
    const std::string mutant = mutate(target.seeds[static_cast<size_t>(i) % target.seeds.size()]);
    const Clock::time_point begin = Clock::now();
    std::string what;
    try {
      refused += !target.run(mutant);
    } catch (const std::exception& error) {
      what = error.what();
    }
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    slowest = std::max(slowest, seconds);
    if (what.empty() && seconds < kMaxSeconds) continue;
    const auto kept = std::filesystem::path(kBinaryDir) / ("fuzz-" + target.name);
    put(kept, mutant);
    FAIL_CHECK(target.name << ", mutant " << i << ": " << what << " (" << seconds << " s); kept as "
                           << kept.string());
    if (seconds >= kMaxSeconds) return;
  }
  INFO(target.name << ": " << refused << " of " << kMutants << " refused");
  CHECK(refused > kMutants / 5);
  CHECK(refused < kMutants);
  std::printf("%-12s %6d mutants, %6d refused, slowest %.3f s\n", target.name.c_str(), kMutants,
              refused, slowest);
}

}  // namespace

TEST_CASE("damaged files of every kind give a clear error or a right result", "[fuzz]") {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_install_malloc_and_free_hooks(watch_allocation, [](const volatile void*) {});
#endif
  for (const auto& targets : {file_targets(), model_targets()}) {
    for (const FuzzTarget& target : targets) try_mutants(target);
  }
}

}  // namespace littlebit::test
