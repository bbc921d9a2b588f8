// Runs CUDA device code on the CPU, for tests: include this before a .cuh file and launch() its
// kernels. Each CUDA thread of a block is a fiber (ucontext) on its own stack; a warp's collective
// operation parks its threads until all 32 have arrived at the same one, so that a result does not
// depend on the order in which threads run, which `seed` shuffles. Threads that wait for one that
// has returned, or that stand at different operations, are an error. Blocks run one after another.
// It does not show: races between blocks, bank conflicts, speed.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <random>
#include <stdexcept>
#include <vector>

#define __global__
#define __device__

namespace cudasim {

struct Index {
  unsigned x = 0;
};

struct Geometry {
  unsigned blocks, threads;  // threads: whole warps
  uint64_t seed = 0;         // order of blocks and threads; 0: as numbered
};

enum class Operation { kNone, kBallot, kShuffleXor };

struct Thread {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  bool done = false;
  Operation waits_at = Operation::kNone;
  uint64_t argument = 0, result = 0;
  int distance = 0;
};

inline constexpr size_t kStack = 64 * 1024;
inline constexpr unsigned kWarp = 32;

// The block that runs now.
struct Block {
  Index thread, block, block_size, grid_size;
  std::vector<Thread> threads;
  ucontext_t scheduler;
  const std::function<void()>* body = nullptr;
  std::exception_ptr error;
};
inline Block* g_block = nullptr;

inline void fiber() {
  Block& block = *g_block;
  try {
    (*block.body)();
  } catch (...) {
    block.error = std::current_exception();
  }
  Thread& self = block.threads[block.thread.x];
  self.done = true;
  swapcontext(&self.context, &block.scheduler);
}

inline uint64_t wait(Operation operation, uint32_t mask, uint64_t argument, int distance) {
  if (mask != 0xFFFFFFFFu) throw std::logic_error("cudasim: only whole warps");
  Block& block = *g_block;
  Thread& self = block.threads[block.thread.x];
  self.waits_at = operation;
  self.argument = argument;
  self.distance = distance;
  swapcontext(&self.context, &block.scheduler);
  return self.result;
}

// Carries out a warp's operation if all of its threads wait at it.
inline bool release(Thread* warp) {
  const Operation operation = warp[0].waits_at;
  if (operation == Operation::kNone) return false;
  for (unsigned i = 0; i < kWarp; ++i) {
    if (warp[i].waits_at != operation || warp[i].distance != warp[0].distance) return false;
  }
  uint64_t votes = 0;
  for (unsigned i = 0; i < kWarp; ++i) votes |= static_cast<uint64_t>(warp[i].argument != 0) << i;
  for (unsigned i = 0; i < kWarp; ++i) {
    warp[i].result = operation == Operation::kBallot
                         ? votes
                         : warp[i ^ static_cast<unsigned>(warp[0].distance)].argument;
  }
  for (unsigned i = 0; i < kWarp; ++i) warp[i].waits_at = Operation::kNone;
  return true;
}

// A function of its own: locals of one that calls getcontext may be lost, says the compiler.
inline void begin(Thread& thread) {
  thread.done = false;
  getcontext(&thread.context);
  thread.context.uc_stack.ss_sp = thread.stack.get();
  thread.context.uc_stack.ss_size = kStack;
  makecontext(&thread.context, fiber, 0);
}

inline void run_block(Block& block, const std::vector<unsigned>& order) {
  g_block = &block;
  for (Thread& thread : block.threads) begin(thread);
  for (bool alive = true; alive;) {
    bool moved = false;
    alive = false;
    for (const unsigned i : order) {
      Thread& thread = block.threads[i];
      if (thread.done || thread.waits_at != Operation::kNone) continue;
      block.thread.x = i;
      swapcontext(&block.scheduler, &thread.context);
      if (block.error) std::rethrow_exception(block.error);
      moved = true;
    }
    for (size_t first = 0; first < block.threads.size(); first += kWarp) {
      moved = release(&block.threads[first]) || moved;
    }
    for (const Thread& thread : block.threads) alive = alive || !thread.done;
    if (alive && !moved) throw std::logic_error("cudasim: threads wait for ones that do not come");
  }
}

// kernel: a call of a __global__ function.
inline void launch(const Geometry& geometry, const std::function<void()>& kernel) {
  if (geometry.threads % kWarp != 0) throw std::logic_error("cudasim: only whole warps");
  Block block{.block_size = {geometry.threads}, .grid_size = {geometry.blocks}, .body = &kernel};
  block.threads.resize(geometry.threads);
  for (Thread& thread : block.threads) thread.stack = std::make_unique<char[]>(kStack);
  std::vector<unsigned> threads(geometry.threads), blocks(geometry.blocks);
  for (unsigned i = 0; i < geometry.threads; ++i) threads[i] = i;
  for (unsigned i = 0; i < geometry.blocks; ++i) blocks[i] = i;
  std::mt19937_64 random(geometry.seed);
  if (geometry.seed != 0) std::shuffle(blocks.begin(), blocks.end(), random);
  for (const unsigned i : blocks) {
    if (geometry.seed != 0) std::shuffle(threads.begin(), threads.end(), random);
    block.block.x = i;
    run_block(block, threads);
  }
}

}  // namespace cudasim

#define threadIdx (cudasim::g_block->thread)
#define blockIdx (cudasim::g_block->block)
#define blockDim (cudasim::g_block->block_size)
#define gridDim (cudasim::g_block->grid_size)

inline uint32_t __ballot_sync(uint32_t mask, bool vote) {
  return static_cast<uint32_t>(cudasim::wait(cudasim::Operation::kBallot, mask, vote, 0));
}
template <class T>
T __shfl_xor_sync(uint32_t mask, T value, int distance) {
  return static_cast<T>(cudasim::wait(cudasim::Operation::kShuffleXor, mask, value, distance));
}
inline int __popc(uint32_t bits) { return std::popcount(bits); }
inline void atomicAdd(unsigned long long* sum, unsigned long long value) { *sum += value; }
