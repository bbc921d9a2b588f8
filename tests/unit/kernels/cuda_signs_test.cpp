// The CUDA kernels' device code, run on the CPU by tests/cudasim, against the plain CPU loops: the
// same bits, whatever the alignment, the grid and the order in which threads run.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <vector>

#define LITTLEBIT_SIMULATE_CUDA
#include "../../../cuda/expand_signs.cu"
#include "../../../cuda/update_signs.cu"
#include "littlebit/kernels/signs.h"

namespace littlebit {
namespace {

struct Case {
  int64_t first_bit, rows, cols, stride, shift;  // shift: elements before `out`
};

template <class T>
std::vector<T> random_elements(size_t n, std::mt19937_64& random) {
  std::vector<T> values(n);
  for (T& value : values) {
    if constexpr (std::is_same_v<T, uint16_t>) {
      value = static_cast<uint16_t>(random());
    } else {
      value = std::normal_distribution<T>()(random);
    }
  }
  return values;
}

enum class Scale { kNone, kRow, kColumn };

// `run`: the launcher, or the kernel on a grid that threads walk several times.
template <class T>
void check_expansion(const Case& c, Scale scale,
                     const std::function<void(const SignExpansion<T>&)>& run) {
  std::mt19937_64 random(17);
  // Exactly the words that hold the bits: reading one more is an error under a sanitizer.
  std::vector<uint32_t> words(static_cast<size_t>((c.first_bit + c.rows * c.cols + 31) / 32));
  for (uint32_t& word : words) word = static_cast<uint32_t>(random());
  const std::vector<T> rows = random_elements<T>(static_cast<size_t>(c.rows), random);
  const std::vector<T> columns = random_elements<T>(static_cast<size_t>(c.cols), random);
  const size_t size = static_cast<size_t>(c.shift + c.rows * c.stride);
  std::vector<T> want(size, T(7)), got(size, T(7));
  SignExpansion<T> job{words.data(),
                       c.first_bit,
                       c.rows,
                       c.cols,
                       scale == Scale::kRow ? rows.data() : nullptr,
                       scale == Scale::kColumn ? columns.data() : nullptr,
                       want.data() + c.shift,
                       c.stride};
  expand_signs(job, 0, c.rows);
  job.out = got.data() + c.shift;
  run(job);
  CHECK(std::memcmp(want.data(), got.data(), size * sizeof(T)) == 0);
}

template <class T>
void check_packing(
    int64_t words,
    const std::function<void(const T*, int64_t, uint32_t*, unsigned long long*)>& run) {
  std::mt19937_64 random(5);
  std::vector<T> latents = random_elements<T>(static_cast<size_t>(words) * 32, random);
  const T special[] = {T(0),
                       -T(0),
                       std::numeric_limits<T>::quiet_NaN(),
                       -std::numeric_limits<T>::quiet_NaN(),
                       std::numeric_limits<T>::denorm_min(),
                       -std::numeric_limits<T>::denorm_min(),
                       -std::numeric_limits<T>::infinity()};
  std::copy(std::begin(special), std::end(special), latents.begin() + 3);
  std::vector<uint32_t> want(static_cast<size_t>(words)), got;
  for (uint32_t& word : want) word = static_cast<uint32_t>(random());
  got = want;
  const int64_t flips = pack_signs(latents.data(), words * 32, want.data());
  unsigned long long counted = 1000;  // added to, not overwritten
  run(latents.data(), words * 32, got.data(), &counted);
  CHECK(want == got);
  CHECK(counted == 1000 + static_cast<unsigned long long>(flips));
  CHECK(flips > words * 10);  // half of the bits, or so
}

template <class T>
void check_expansion_both_ways(const Case& c, Scale scale) {
  check_expansion<T>(c, scale,
                     [](const auto& job) { CHECK(cuda::run(job, nullptr) == cudaSuccess); });
  check_expansion<T>(c, scale, [](const auto& job) {
    using B = typename cuda::BitsOf<sizeof(T)>::Type;
    cuda::ExpandTable<B> table = {};
    table.jobs[0] = cuda::expand_job(job);
    table.first_block[1] = 2;
    cuda::launch(cuda::expand_kernel<B>, {.grid = 2, .block = 32}, nullptr, table);
  });
}

template <class T>
void check_packing_both_ways(int64_t words) {
  check_packing<T>(words, [](auto* latents, int64_t n, uint32_t* bits, unsigned long long* flips) {
    const SignPacking<T> job{latents, n / 32, bits, reinterpret_cast<int64_t*>(flips)};
    CHECK(cuda::run(job, nullptr) == cudaSuccess);
  });
  check_packing<T>(words, [](auto* latents, int64_t n, uint32_t* bits, unsigned long long* flips) {
    cuda::launch(cuda::pack_kernel<T>, {.grid = 2, .block = 64}, nullptr, latents, n / 32, bits,
                 flips);
  });
}

}  // namespace

TEST_CASE("CUDA: signs are expanded to the CPU's bits", "[cuda]") {
  const Case cases[] = {{0, 4, 64, 64, 0},  {128, 3, 40, 40, 0}, {5, 7, 33, 33, 0},
                        {96, 5, 8, 24, 8},  {31, 2, 1, 1, 0},    {64, 9, 80, 160, 80},
                        {0, 3, 70, 72, 3},  {0, 1, 5, 5, 0},     {7, 6, 16, 48, 16},
                        {3, 9, 250, 250, 0}};
  for (const Case& c : cases) {
    for (const Scale scale : {Scale::kNone, Scale::kRow, Scale::kColumn}) {
      for (const cudasim::Order order : cudasim::kOrders) {
        INFO(c.first_bit << " " << c.rows << "x" << c.cols << " order " << static_cast<int>(order));
        cudasim::t_order = order;
        check_expansion_both_ways<float>(c, scale);
        check_expansion_both_ways<double>(c, scale);
        check_expansion_both_ways<uint16_t>(c, scale);
      }
    }
  }
}

TEST_CASE("CUDA: latents are packed to the CPU's bits, changes are counted", "[cuda]") {
  for (const int64_t words : {1, 4, 31, 32, 33, 64, 100, 260, 700}) {
    for (const cudasim::Order order : cudasim::kOrders) {
      INFO(words << " words, order " << static_cast<int>(order));
      cudasim::t_order = order;
      check_packing_both_ways<float>(words);
      check_packing_both_ways<double>(words);
    }
  }
}

TEST_CASE("CUDA: nothing is launched for an empty job", "[cuda]") {
  int64_t flips = 3;
  CHECK(cuda::run(SignPacking<float>{.num_words = 0, .flips = &flips}, nullptr) == cudaSuccess);
  CHECK(cuda::run(SignExpansion<float>{.rows = 0, .cols = 5}, nullptr) == cudaSuccess);
  CHECK(flips == 3);
}

}  // namespace littlebit
