// The sampler: each epoch visits every block once, in an order of its own, decided by the seed
// alone.
#include "littlebit/data/sampler.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <numeric>

using namespace littlebit;

namespace {

std::vector<int64_t> epoch(const Sampler& sampler, int64_t num_blocks, int64_t number) {
  std::vector<int64_t> order;
  for (int64_t i = 0; i < num_blocks; ++i)
    order.push_back(sampler.block_at(number * num_blocks + i));
  return order;
}

std::vector<int64_t> in_order(int64_t n) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  return order;
}

}  // namespace

TEST_CASE("sampler: every epoch is a permutation") {
  for (const int64_t n : {1, 2, 3, 7, 64, 1000, 1025}) {
    const Sampler sampler(n, 42, true);
    for (const int64_t number : {0, 1, 2, 50}) {
      std::vector<int64_t> order = epoch(sampler, n, number);
      std::sort(order.begin(), order.end());
      CHECK(order == in_order(n));
    }
  }
}

TEST_CASE("sampler: epochs and seeds have orders of their own") {
  const Sampler sampler(1000, 42, true);
  const std::vector<int64_t> first = epoch(sampler, 1000, 0);
  CHECK(first != in_order(1000));
  CHECK(epoch(sampler, 1000, 1) != first);
  CHECK(epoch(sampler, 1000, 2) != epoch(sampler, 1000, 1));
  CHECK(epoch(Sampler(1000, 43, true), 1000, 0) != first);
  CHECK(epoch(Sampler(1000, 42, true), 1000, 0) == first);
}

TEST_CASE("sampler: a large corpus costs one evaluation per place") {
  const int64_t n = int64_t(1) << 40;
  const Sampler sampler(n, 1, true);
  const int64_t here = sampler.block_at(3 * n + 12345);
  CHECK(here >= 0);
  CHECK(here < n);
  CHECK(sampler.block_at(3 * n + 12345) == here);
  CHECK(sampler.block_at(4 * n + 12345) != here);
}

TEST_CASE("sampler: without shuffling blocks come in order, epoch after epoch") {
  const Sampler sampler(5, 42, false);
  CHECK(epoch(sampler, 5, 0) == in_order(5));
  CHECK(epoch(sampler, 5, 3) == in_order(5));
}
