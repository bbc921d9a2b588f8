// Random numbers: the published Philox vectors, independence of call order, and the statistics a
// wrong mapping breaks.
#include "littlebit/core/rng.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <vector>

namespace littlebit {
namespace {

using Words = std::array<uint32_t, 4>;

// Known-answer vectors of Random123 (kat_vectors, philox 4 32 10).
TEST_CASE("philox4x32-10 gives the published vectors") {
  CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}) ==
        Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("streams differ by seed, purpose and index, and by nothing else") {
  const RandomStream stream(42, "shuffle");
  CHECK(stream.block(7) == RandomStream(42, "shuffle").block(7));
  std::set<Words> blocks;
  for (const auto& other : {stream, RandomStream(43, "shuffle"), RandomStream(42, "svd"),
                            RandomStream(42ull << 32, "shuffle")}) {
    for (const uint64_t index : {0ull, 1ull, 1ull << 32, ~0ull}) blocks.insert(other.block(index));
  }
  CHECK(blocks.size() == 16);
}

TEST_CASE("below stays in range and is even") {
  const RandomStream stream(1, "below");
  constexpr uint64_t kN = 6, kDraws = 60000;
  std::vector<int> counts(kN);
  for (uint64_t i = 0; i < kDraws; ++i) {
    const uint64_t value = stream.below(i, kN);
    REQUIRE(value < kN);
    ++counts[value];
  }
  double chi_square = 0;
  for (const int count : counts) chi_square += std::pow(count - 10000.0, 2) / 10000.0;
  CHECK(chi_square < 20.5);  // 5 degrees of freedom: exceeded with probability 0.001
  CHECK(stream.below(3, 1) == 0);
  // The top of a huge range is reached: about half the draws lie in the upper half of [0, 2^64 -
  // 1).
  int upper = 0;
  for (uint64_t i = 0; i < 1000; ++i) upper += stream.below(i, ~0ull) >= 1ull << 63;
  CHECK(std::abs(upper - 500) < 60);  // 3.8 standard deviations
  CHECK_THROWS_AS(stream.below(0, 0), std::logic_error);
}

TEST_CASE("normal numbers have the moments of a normal") {
  const RandomStream stream(5, "normal");
  std::vector<float> x(1 << 18);
  stream.fill_normal(0, x);
  double moments[5] = {};
  for (const float value : x) {
    REQUIRE(std::isfinite(value));
    for (int k = 1; k <= 4; ++k) moments[k] += std::pow(value, k) / x.size();
  }
  // Four standard errors of each moment at 2^18 draws: sqrt(var of x^k / n) * 4.
  CHECK(std::abs(moments[1]) < 0.008);
  CHECK(std::abs(moments[2] - 1) < 0.012);
  CHECK(std::abs(moments[3]) < 0.031);
  CHECK(std::abs(moments[4] - 3) < 0.077);
  double neighbours = 0;  // the two halves of a Box-Muller pair are independent
  for (size_t i = 0; i < x.size(); i += 2) neighbours += double{x[i]} * x[i + 1] / (x.size() / 2);
  CHECK(std::abs(neighbours) < 0.012);
}

TEST_CASE("normal numbers depend on their index only") {
  const RandomStream stream(5, "normal");
  std::vector<float> whole(23), part(11);
  stream.fill_normal(0, whole);
  stream.fill_normal(8, part);
  for (size_t i = 0; i < part.size(); ++i) CHECK(part[i] == whole[8 + i]);
  CHECK_THROWS_AS(stream.fill_normal(3, part), std::logic_error);
}

TEST_CASE("permute visits every value once") {
  for (const uint64_t n : {1ull, 2ull, 3ull, 5ull, 16ull, 17ull, 1000ull, 4097ull}) {
    const RandomStream stream(9, "permute");
    std::set<uint64_t> seen;
    for (uint64_t i = 0; i < n; ++i) {
      const uint64_t value = permute(stream, n, i);
      REQUIRE(value < n);
      seen.insert(value);
    }
    CHECK(seen.size() == n);
  }
  CHECK_THROWS_AS(permute(RandomStream(0, ""), 4, 4), std::logic_error);
  CHECK_THROWS_AS(permute(RandomStream(0, ""), 0, 0), std::logic_error);
}

TEST_CASE("permute reaches 2^62") {
  const RandomStream stream(9, "permute");
  const uint64_t n = 1ull << 62;
  std::set<uint64_t> seen;
  for (uint64_t i = 0; i < 1000; ++i) {
    for (const uint64_t at : {i, n - 1 - i}) {
      const uint64_t value = permute(stream, n, at);
      REQUIRE(value < n);
      seen.insert(value);
    }
  }
  CHECK(seen.size() == 2000);
  CHECK_THROWS_AS(permute(stream, n + 1, 0), std::logic_error);
}

TEST_CASE("permute: all orders of four things come up about equally often") {
  std::map<std::vector<uint64_t>, int> counts;
  constexpr int kTrials = 12000;
  for (int trial = 0; trial < kTrials; ++trial) {
    const RandomStream stream(static_cast<uint64_t>(trial), "epoch");
    std::vector<uint64_t> order;
    for (uint64_t i = 0; i < 4; ++i) order.push_back(permute(stream, 4, i));
    ++counts[order];
  }
  REQUIRE(counts.size() == 24);
  double chi_square = 0;
  for (const auto& [order, count] : counts) chi_square += std::pow(count - 500.0, 2) / 500.0;
  CHECK(chi_square < 49.7);  // 23 degrees of freedom: exceeded with probability 0.001
}

}  // namespace
}  // namespace littlebit
