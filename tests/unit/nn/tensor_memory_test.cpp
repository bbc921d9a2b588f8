// Tensors on pages of our own: they do not lie over each other, and what is held follows what is
// alive.
#include "littlebit/nn/tensor_memory.h"

#include <ATen/ATen.h>
#include <sys/resource.h>

#include <catch2/catch.hpp>
#include <iostream>
#include <random>
#include <thread>
#include <vector>

#include "support/peak_memory.h"

namespace littlebit {
namespace {

constexpr int64_t kMiB = 1 << 20;

struct Marked {
  at::Tensor bytes;
  uint8_t mark = 0;
};

struct Churned {
  int64_t most = 0;     // bytes alive at a time
  int64_t damaged = 0;  // tensors that did not hold their mark
};

// Tensors of all sizes come and go; each holds its own mark until its end.
Churned churn(uint32_t seed, int turns, int64_t most_bytes) {
  std::mt19937 random(seed);
  std::vector<Marked> alive;
  int64_t bytes = 0, most = 0, damaged = 0;
  const auto end_one = [&](size_t which) {
    const Marked& ended = alive[which];
    damaged += ended.bytes.ne(ended.mark).any().item<bool>();
    bytes -= ended.bytes.numel();
    std::swap(alive[which], alive.back());
    alive.pop_back();
  };
  for (int turn = 0; turn < turns; ++turn) {
    const auto size = static_cast<int64_t>((random() % (12 * kMiB)) >> (random() % 6));
    while (bytes + size > most_bytes) end_one(random() % alive.size());
    const auto mark = static_cast<uint8_t>(random());
    alive.push_back({at::full({size}, mark, at::kByte), mark});
    bytes += size;
    most = std::max(most, bytes);
  }
  while (!alive.empty()) end_one(0);
  return {.most = most, .damaged = damaged};
}

#ifndef __SANITIZE_ADDRESS__  // under which tensors stay on its heap
int64_t page_faults() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt;
}

TEST_CASE("large tensors on pages of our own: kept pages are taken before new ones") {
  keep_tensor_memory();
  const auto made = [](int64_t mib) { return at::full({mib * kMiB}, 1, at::kByte); };
  const at::Tensor some = made(200);  // leaves less of its region than the next one needs
  at::Tensor given_back = made(300);
  given_back.reset();
  const int64_t before = page_faults();
  const at::Tensor next = made(40);  // fits into the rest, too, and closer
  CHECK(page_faults() - before < 40 * kMiB / 4096 / 10);
}

TEST_CASE("large tensors on pages of our own: what is kept can be released") {
  keep_tensor_memory();
  const at::Tensor some = at::full({64 * kMiB}, 1, at::kByte);
  at::full({64 * kMiB}, 1, at::kByte);
  const int64_t kept = test::status_bytes("VmRSS");
  if (kept == 0) {
    std::cout << "skipped: this system does not tell resident memory\n";
    return;
  }
  release_kept_tensor_memory();
  CHECK(test::status_bytes("VmRSS") < kept - 60 * kMiB);
  CHECK(some.eq(1).all().item<bool>());
}
#endif

TEST_CASE("large tensors on pages of our own: none lies over another, from several threads") {
  keep_tensor_memory();
  Churned theirs;
  std::thread other([&] { theirs = churn(1, 60, 64 * kMiB); });
  const Churned ours = churn(2, 60, 64 * kMiB);
  other.join();
  CHECK(theirs.damaged == 0);
  CHECK(ours.damaged == 0);
}

TEST_CASE("large tensors on pages of our own: what is held stays near the most that was alive") {
  keep_tensor_memory();
  if (!test::reset_peak()) {
    std::cout << "skipped: this system does not reset VmHWM\n";
    return;
  }
  const int64_t before = test::status_bytes("VmRSS");
  const auto [most, damaged] = churn(3, 300, 256 * kMiB);
  CHECK(damaged == 0);
  const int64_t peak = test::status_bytes("VmHWM") - before;
  INFO("alive " << most / kMiB << " MiB, held " << peak / kMiB << " MiB");
  CHECK(peak < most + most / 4);
}

}  // namespace
}  // namespace littlebit
