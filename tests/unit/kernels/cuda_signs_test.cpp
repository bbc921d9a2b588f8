// The CUDA kernels' device code, run on the CPU by tests/cudasim, against the plain CPU loops: the
// same bits, whatever the alignment, the grid and the order in which threads run. And the way to
// the CUDA library on whatever machine this is.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <random>
#include <vector>

#include "cudasim/cudasim.h"
// After it: what follows is device code.
#include "../../../cuda/signs.cuh"
#include "littlebit/kernels/cuda.h"
#include "littlebit/kernels/signs.h"
#include "support/paths.h"

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

template <class T>
void check_expansion(const Case& c, Scale scale, const cudasim::Geometry& geometry) {
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
  cudasim::launch(geometry, [&] { cuda::expand_kernel(cuda::expand_job(job)); });
  CHECK(std::memcmp(want.data(), got.data(), size * sizeof(T)) == 0);
}

template <class T>
void check_packing(int64_t words, const cudasim::Geometry& geometry) {
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
  cudasim::launch(geometry,
                  [&] { cuda::pack_kernel(latents.data(), words, got.data(), &counted); });
  CHECK(want == got);
  CHECK(counted == 1000 + static_cast<unsigned long long>(flips));
  CHECK(flips > words * 10);  // half of the bits, or so
}

}  // namespace

TEST_CASE("CUDA: signs are expanded to the CPU's bits", "[cuda]") {
  const Case cases[] = {{0, 4, 64, 64, 0}, {128, 3, 40, 40, 0}, {5, 7, 33, 33, 0},
                        {96, 5, 8, 24, 8}, {31, 2, 1, 1, 0},    {64, 9, 80, 160, 80},
                        {0, 3, 70, 72, 3}, {0, 1, 5, 5, 0},     {7, 6, 16, 48, 16}};
  for (const Case& c : cases) {
    for (const Scale scale : {Scale::kNone, Scale::kRow, Scale::kColumn}) {
      for (const uint64_t seed : {0, 1, 2}) {
        INFO(c.first_bit << " " << c.rows << "x" << c.cols << " seed " << seed);
        check_expansion<float>(c, scale, {2, 32, seed});
        check_expansion<double>(c, scale, {3, 64, seed});
        check_expansion<uint16_t>(c, scale, {1, 32, seed});
      }
    }
  }
}

TEST_CASE("CUDA: latents are packed to the CPU's bits, changes are counted", "[cuda]") {
  for (const int64_t words : {1, 4, 31, 32, 33, 64, 100, 260}) {
    for (const uint64_t seed : {0, 1, 2}) {
      INFO(words << " words, seed " << seed);
      check_packing<float>(words, {2, 64, seed});
      check_packing<double>(words, {1, 32, seed});
    }
  }
}

TEST_CASE("CUDA: the simulator refuses what would hang a GPU", "[cuda]") {
  CHECK_THROWS_WITH(cudasim::launch({1, 32},
                                    [] {
                                      if (threadIdx.x < 16) __ballot_sync(0xFFFFFFFFu, true);
                                    }),
                    "cudasim: threads wait for ones that do not come");
  uint32_t votes = 0;
  cudasim::launch({1, 64, 3}, [&] {
    const uint32_t vote = __ballot_sync(0xFFFFFFFFu, threadIdx.x % 2 == 1);
    if (threadIdx.x == 40) votes = vote;
  });
  CHECK(votes == 0xAAAAAAAAu);
}

TEST_CASE("CUDA: the library loads wherever it was built, with every symbol of its own", "[cuda]") {
  std::string problem;
  const CudaKernels* kernels = load_cuda_library(problem);
  if (!std::filesystem::exists(std::filesystem::path(test::kBinaryDir) / "lib" /
                               "liblittlebit_cuda.so")) {
    CHECK(kernels == nullptr);
    CHECK_THAT(problem, Catch::Contains("built without CUDA"));
    return;
  }
  INFO(problem);
  REQUIRE(kernels != nullptr);
  CHECK(kernels->version == kCudaKernelsVersion);
  CHECK(kernels->expand_bfloat16 != nullptr);
  if (open_cuda().driver_has_gpu) return;
  // c10d's process group and CUDA's runtime are really there: they answer.
  CHECK_THROWS_WITH(kernels->nccl_difference(0), Catch::Contains("no GPUs found"));
  CHECK_THROWS_WITH(kernels->compute_capability(0), Catch::Contains("CUDA error"));
}

TEST_CASE("CUDA: without a GPU the reason is told", "[cuda]") {
  const CudaState& state = open_cuda();
  CHECK(&state == &open_cuda());
  if (state.kernels != nullptr) {
    CHECK(state.driver_has_gpu);
    CHECK(state.kernels->compute_capability(0) >= kLeastComputeCapability);
    return;
  }
  CHECK(!state.problem.empty());
  CHECK_THAT(state.hint, Catch::Contains("train.device=cpu"));
  if (!state.driver_has_gpu) {
    CHECK_THAT(state.problem, Catch::Contains("NVIDIA driver"));
  }
}

}  // namespace littlebit
