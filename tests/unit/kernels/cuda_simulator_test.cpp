// The simulator of CUDA's blocks (tests/cudasim): kernels that use all of it give what a GPU gives,
// in every order of threads, and kernels with a planted fault do not pass.
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#define LITTLEBIT_SIMULATE_CUDA
#include "../../../cuda/launch.cuh"
#include "cudasim/guarded_buffer.h"

using littlebit::cuda::launch;

namespace {

constexpr int kThreads = 128;
constexpr uint32_t kAll = 0xFFFFFFFFu;

// The sum of a row by a block: warps by shuffles, the warps' sums through shared memory.
template <bool kWithBarrier>
__global__ void sum_rows(const float* rows, int columns, float* sums) {
  LITTLEBIT_SHARED(float, of_warps, kThreads / 32);
  const float* row = rows + static_cast<int64_t>(blockIdx.x) * columns;
  float sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < columns; i += static_cast<int>(blockDim.x)) {
    sum += row[i];
  }
  for (int distance = 16; distance > 0; distance /= 2) {
    sum += __shfl_down_sync(kAll, sum, distance);
  }
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = sum;
  if (kWithBarrier) __syncthreads();
  if (threadIdx.x == 0) {
    float total = 0;
    for (int warp = 0; warp < kThreads / 32; ++warp) total += of_warps[warp];
    sums[blockIdx.x] = total;
  }
}

std::vector<float> sums_of_rows(void (*kernel)(const float*, int, float*), cudasim::Order order) {
  constexpr int kRows = 3, kColumns = 300;
  std::vector<float> rows(kRows * kColumns), sums(kRows);
  std::iota(rows.begin(), rows.end(), 0.f);
  cudasim::t_order = order;
  launch(kernel, {.grid = kRows, .block = kThreads}, nullptr, rows.data(), kColumns, sums.data());
  return sums;
}

// A tile by rows into shared memory, out by columns: 2-D blocks of a 3-D grid.
__global__ void transpose(const int* in, int rows, int columns, int* out) {
  LITTLEBIT_DYNAMIC_SHARED(int, tile);
  const int width = static_cast<int>(blockDim.x), height = static_cast<int>(blockDim.y);
  const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
  const int row = static_cast<int>(blockIdx.y) * height + y,
            column = static_cast<int>(blockIdx.x) * width + x;
  const int64_t batch = static_cast<int64_t>(blockIdx.z) * rows * columns;
  if (row < rows && column < columns) tile[y * width + x] = in[batch + row * columns + column];
  __syncthreads();
  if (row < rows && column < columns) out[batch + column * rows + row] = tile[y * width + x];
}

// Twice what is in `in`, by asynchronous copies, the next one under way while one is used.
template <bool kWaits>
__global__ void double_by_copies(const float* in, int pieces, float* out) {
  LITTLEBIT_SHARED(float, buffer, 2 * 32 * 4);
  const int lane = static_cast<int>(threadIdx.x);
  const auto fetch = [&](int piece) {
    littlebit::cuda::copy_async_16(buffer + (piece % 2 * 32 + lane) * 4,
                                   in + (piece * 32 + lane) * 4);
    littlebit::cuda::close_copy_group();
  };
  fetch(0);
  for (int piece = 0; piece < pieces; ++piece) {
    if (piece + 1 < pieces) fetch(piece + 1);
    if (kWaits) {
      if (piece + 1 < pieces) {
        littlebit::cuda::wait_for_copies<1>();
      } else {
        littlebit::cuda::wait_for_copies<0>();
      }
    }
    for (int i = 0; i < 4; ++i) {
      out[(piece * 32 + lane) * 4 + i] = 2 * buffer[(piece % 2 * 32 + lane) * 4 + i];
    }
  }
  littlebit::cuda::wait_for_copies<0>();
}

uint32_t pair(float low, float high) {  // numbers that bf16 has
  return std::bit_cast<uint32_t>(low) >> 16 | (std::bit_cast<uint32_t>(high) & 0xFFFF0000u);
}

// C [16, 8] = A [16, 16] B [16, 8] by the warp's product.
__global__ void multiply(const float* a, const float* b, float* c) {
  const int lane = static_cast<int>(threadIdx.x), group = lane / 4, two = lane % 4 * 2;
  uint32_t fa[4], fb[2];
  for (int i = 0; i < 4; ++i) {
    const float* from = a + (group + i % 2 * 8) * 16 + two + i / 2 * 8;
    fa[i] = pair(from[0], from[1]);
  }
  for (int i = 0; i < 2; ++i) {
    const float* from = b + (two + i * 8) * 8 + group;
    fb[i] = pair(from[0], from[8]);
  }
  float fc[4] = {};
  littlebit::cuda::multiply_add_bf16(fc, fa, fb);
  for (int i = 0; i < 4; ++i) c[(group + i / 2 * 8) * 8 + two + i % 2] = fc[i];
}

// How a process ends that runs `body`.
int status_of(const std::function<void()>& body) {
  const pid_t pid = fork();
  if (pid == 0) {
    // Not the test's own report of a signal that is meant to come, nor a sanitizer's.
    std::signal(SIGSEGV, SIG_DFL);
    close(STDERR_FILENO);
    try {
      body();
    } catch (...) {
      _exit(3);
    }
    _exit(0);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  return status;
}

__global__ void copy_all(const float* in, int n, float* out) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) out[i] = in[i];
}

}  // namespace

TEST_CASE("simulator: shared memory, barriers and shuffles, in every order of threads", "[cuda]") {
  for (const cudasim::Order order : cudasim::kOrders) {
    CHECK(sums_of_rows(sum_rows<true>, order) ==
          std::vector<float>{44850, 134850, 224850});  // sums of integers: exact
  }
}

TEST_CASE("simulator: a missing barrier shows in one order or another", "[cuda]") {
  int wrong = 0;
  for (const cudasim::Order order : cudasim::kOrders) {
    wrong += sums_of_rows(sum_rows<false>, order) != std::vector<float>{44850, 134850, 224850};
  }
  CHECK(wrong > 0);
}

TEST_CASE("simulator: grids and blocks of two and three dimensions", "[cuda]") {
  constexpr int kBatch = 2, kRows = 5, kColumns = 11;
  std::vector<int> in(kBatch * kRows * kColumns), out(in.size(), -1);
  std::iota(in.begin(), in.end(), 0);
  for (const cudasim::Order order : cudasim::kOrders) {
    cudasim::t_order = order;
    launch(transpose,
           {.grid = {3, 2, kBatch}, .block = {4, 3}, .shared_bytes = 4 * 3 * sizeof(int)}, nullptr,
           in.data(), kRows, kColumns, out.data());
    for (int b = 0; b < kBatch; ++b) {
      for (int r = 0; r < kRows; ++r) {
        for (int c = 0; c < kColumns; ++c) {
          CHECK(out[(b * kColumns + c) * kRows + r] == (b * kRows + r) * kColumns + c);
        }
      }
    }
  }
}

TEST_CASE("simulator: operations of a warp", "[cuda]") {
  for (const cudasim::Order order : cudasim::kOrders) {
    std::vector<std::array<int64_t, 12>> got(64);
    cudasim::launch(1, 64, 0, order, [&] {
      const int t = static_cast<int>(threadIdx.x), lane = t % 32;
      auto& mine = got[threadIdx.x];
      mine[0] = __shfl_sync(kAll, t, 5);
      mine[1] = __shfl_xor_sync(kAll, t, 3);
      mine[2] = __shfl_up_sync(kAll, t, 2);
      mine[3] = __shfl_down_sync(kAll, t, 2);
      mine[4] = __shfl_sync(kAll, t, 1, 8);
      mine[5] = __ballot_sync(kAll, lane % 2 == 1);
      mine[6] = __reduce_add_sync(kAll, t);
      mine[7] = __reduce_max_sync(kAll, t);
      mine[8] = __any_sync(kAll, lane == 3) * 2 + __all_sync(kAll, lane == 3);
      // Halves that take other ways.
      const uint32_t half = lane < 16 ? 0xFFFFu : 0xFFFF0000u;
      mine[9] = lane < 16 ? __reduce_add_sync(half, 1) : __reduce_add_sync(half, 2);
      mine[10] = __syncthreads_count(t < 40);
      mine[11] = __syncthreads_or(t == 63) * 2 + __syncthreads_and(t >= 0);
    });
    for (int t = 0; t < 64; ++t) {
      const int lane = t % 32, warp = t / 32 * 32;
      INFO("thread " << t);
      CHECK(got[t][0] == warp + 5);
      CHECK(got[t][1] == (t ^ 3));
      CHECK(got[t][2] == (lane < 2 ? t : t - 2));
      CHECK(got[t][3] == (lane >= 30 ? t : t + 2));
      CHECK(got[t][4] == t / 8 * 8 + 1);
      CHECK(got[t][5] == 0xAAAAAAAA);
      CHECK(got[t][6] == 496 + 32 * warp);
      CHECK(got[t][7] == warp + 31);
      CHECK(got[t][8] == 2);
      CHECK(got[t][9] == (lane < 16 ? 16 : 32));
      CHECK(got[t][10] == 40);
      CHECK(got[t][11] == 3);
    }
  }
}

TEST_CASE("simulator: atomics return what was there", "[cuda]") {
  for (const cudasim::Order order : cudasim::kOrders) {
    unsigned tickets = 0, most = 0, bits = 0, locked = 7;
    double sum = 0;
    std::vector<int> taken(96);
    cudasim::launch(3, 32, 0, order, [&] {
      const unsigned t = blockIdx.x * blockDim.x + threadIdx.x;
      taken[atomicAdd(&tickets, 1)] += 1;
      atomicMax(&most, t);
      atomicOr(&bits, 1u << (t % 7));
      atomicAdd(&sum, 0.5);
      if (t == 4) atomicExch(&locked, 9);
      atomicCAS(&locked, 9, 11);
    });
    CHECK(taken == std::vector<int>(96, 1));
    CHECK(most == 95);
    CHECK(bits == 0x7F);
    CHECK(sum == 48);
    CHECK((locked == 11 || locked == 9));
  }
}

TEST_CASE("simulator: asynchronous copies are there when they were waited for", "[cuda]") {
  constexpr int kPieces = 3;
  alignas(16) std::array<float, kPieces * 128> in, out;
  std::iota(in.begin(), in.end(), 1.f);
  for (const cudasim::Order order : cudasim::kOrders) {
    cudasim::t_order = order;
    launch(double_by_copies<true>, {.grid = 1, .block = 32}, nullptr, in.data(), kPieces,
           out.data());
    for (size_t i = 0; i < in.size(); ++i) CHECK(out[i] == 2 * in[i]);
    launch(double_by_copies<false>, {.grid = 1, .block = 32}, nullptr, in.data(), kPieces,
           out.data());
    CHECK(std::isnan(out[0]));
  }
  CHECK_THROWS_WITH(cudasim::launch(1, 32, 0, cudasim::Order::kAscending,
                                    [&] {
                                      LITTLEBIT_SHARED(float, tile, 128);
                                      littlebit::cuda::copy_async_16(tile + threadIdx.x * 4,
                                                                     in.data() + threadIdx.x * 4);
                                    }),
                    Catch::Contains("returned with a copy under way"));
  CHECK_THROWS_WITH(cudasim::launch(1, 32, 0, cudasim::Order::kAscending,
                                    [&] {
                                      LITTLEBIT_SHARED(float, tile, 129);
                                      littlebit::cuda::copy_async_16(tile + 1, in.data());
                                    }),
                    Catch::Contains("not aligned"));
}

TEST_CASE("simulator: the warp's product of bf16 matrices", "[cuda]") {
  std::array<float, 256> a;
  std::array<float, 128> b, c;
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(static_cast<int>(i * 7 % 19) - 9);
  for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(static_cast<int>(i * 5 % 13) - 6);
  for (const cudasim::Order order : cudasim::kOrders) {
    cudasim::t_order = order;
    launch(multiply, {.grid = 1, .block = 32}, nullptr, a.data(), b.data(), c.data());
    for (int i = 0; i < 16; ++i) {
      for (int j = 0; j < 8; ++j) {
        float want = 0;
        for (int k = 0; k < 16; ++k) want += a[i * 16 + k] * b[k * 8 + j];
        CHECK(c[i * 8 + j] == want);
      }
    }
  }
}

TEST_CASE("simulator: shared memory is new in every block, and holds no number", "[cuda]") {
  std::vector<float> seen(4);
  cudasim::launch(4, 32, 0, cudasim::Order::kAscending, [&] {
    LITTLEBIT_SHARED(float, value, 1);
    if (threadIdx.x == 0) {
      seen[blockIdx.x] = value[0];
      value[0] = 5;
    }
  });
  for (const float value : seen) CHECK(std::isnan(value));
}

TEST_CASE("simulator: what would hang a GPU, or compute nonsense, is refused", "[cuda]") {
  const auto run = [](const std::function<void()>& body, cudasim::Size grid = 1,
                      cudasim::Size block = 64, size_t shared = 0) {
    cudasim::launch(grid, block, shared, cudasim::Order::kAscending, body);
  };
  const auto hangs = Catch::Contains("threads wait for ones that do not come");
  CHECK_THROWS_WITH(run([] {
                      if (threadIdx.x < 16) __ballot_sync(kAll, true);
                    }),
                    hangs);
  // Two lanes at other operations.
  CHECK_THROWS_WITH(run([] {
                      if (threadIdx.x % 32 < 16) {
                        __shfl_sync(kAll, 1, 0);
                      } else {
                        __shfl_sync(kAll, 1.f, 0);
                      }
                    }),
                    hangs);
  // A barrier that some wait at while others wait for their warp.
  CHECK_THROWS_WITH(run([] {
                      if (threadIdx.x % 32 == 0) {
                        __syncthreads();
                      } else {
                        __syncwarp();
                      }
                    }),
                    hangs && Catch::Contains("0 at __syncthreads") &&
                        Catch::Contains("1 at an operation of its warp"));
  CHECK_THROWS_WITH(run([] {
                      if (threadIdx.x % 32 < 16) __shfl_sync(0xFFFFu, 1, 20);
                    }),
                    Catch::Contains("a lane that does not take part"));
  CHECK_THROWS_WITH(run([] { __syncwarp(0xFFFF0000u); }), Catch::Contains("not in the mask"));
  CHECK_THROWS_WITH(run([] {}, cudasim::Size(0)), Catch::Contains("empty grid"));
  CHECK_THROWS_WITH(run([] {}, 1, 1056), Catch::Contains("too large"));
  CHECK_THROWS_WITH(run([] {}, {1, 70000}), Catch::Contains("too large"));
  CHECK_THROWS_WITH(run([] {}, 1, 32, 100 << 10), Catch::Contains("shared memory"));
}

TEST_CASE("simulator: a wrong grid and an element too far show", "[cuda]") {
  constexpr int kSize = 300;
  cudasim::GuardedBuffer<float> in(kSize, 1.f), out(kSize, 0.f);
  cudasim::t_order = cudasim::Order::kAscending;
  launch(copy_all, {.grid = 3, .block = 128}, nullptr, in.data(), kSize, out.data());
  CHECK(std::count(out.span().begin(), out.span().end(), 1.f) == kSize);
  cudasim::GuardedBuffer<float> less(kSize, 0.f);
  launch(copy_all, {.grid = 2, .block = 128}, nullptr, in.data(), kSize, less.data());
  CHECK(std::count(less.span().begin(), less.span().end(), 1.f) == 256);

  CHECK(status_of([&] {
          launch(copy_all, {.grid = 3, .block = 128}, nullptr, in.data(), kSize, out.data());
        }) == 0);
  CHECK(status_of([&] {
          launch(copy_all, {.grid = 3, .block = 128}, nullptr, in.data(), kSize + 1, out.data());
        }) != 0);
}
