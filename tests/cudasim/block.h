// One block of CUDA threads on the CPU: each thread is a fiber (ucontext) on its own stack. Threads
// run one at a time until they park, at the block's barrier or at a collective operation of their
// warp; who waits goes on when all that the operation names have arrived at the same one. Where
// nobody can go on, a GPU would hang or compute nonsense: an error that names the threads.
//
// Shared memory is new in every block and filled with 0xFF bytes, NaN in every floating-point type,
// so that what is read before it is written shows.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <source_location>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace cudasim {

struct Size {
  unsigned x = 1, y = 1, z = 1;
  constexpr Size(unsigned nx = 1, unsigned ny = 1, unsigned nz = 1) : x(nx), y(ny), z(nz) {}
  unsigned count() const { return x * y * z; }
};

struct Index {
  unsigned x = 0, y = 0, z = 0;
};

// The order in which threads (and blocks) that could run do so.
enum class Order { kAscending, kDescending, kShuffled };
inline constexpr Order kOrders[] = {Order::kAscending, Order::kDescending, Order::kShuffled};

inline constexpr uint32_t kWarp = 32, kAllLanes = 0xFFFFFFFFu;
inline constexpr size_t kStackBytes = 64 * 1024;
// What the least of the architectures that we compile for allows (8.6, 8.9, 12.0).
inline constexpr size_t kMaxSharedBytes = 99 * 1024;
inline constexpr unsigned kMaxThreads = 1024;
inline constexpr int kPoison = 0xFF;

struct Thread;

// What a warp's operation does once its lanes are together: reads arguments, writes results. The
// lanes that do not take part are null.
using Exchange = void (*)(Thread* const* lanes);

struct Copy {
  void* to;
  const void* from;
  size_t bytes;
};

struct Thread {
  enum class State { kRuns, kAtBarrier, kAtExchange, kDone };

  ucontext_t context;
  std::unique_ptr<char[]> stack;
  State state = State::kRuns;
  unsigned number = 0;  // in its block
  Index index;
  // At an exchange.
  uint32_t mask = 0;
  Exchange exchange = nullptr;
  const void* argument = nullptr;
  void* result = nullptr;
  int source = 0;
  // At the barrier.
  bool vote = false;
  // Asynchronous copies: of groups that are closed, the oldest first, and of the open one.
  std::deque<std::vector<Copy>> groups;
  std::vector<Copy> open_group;

  unsigned lane() const { return number % kWarp; }
};

struct Block {
  Size size, grid;
  Index index;
  std::vector<Thread> threads;
  std::unique_ptr<char[]> dynamic_shared;
  size_t dynamic_bytes = 0, static_bytes = 0;
  std::map<std::tuple<std::string, unsigned, unsigned>, std::unique_ptr<char[]>> static_shared;
  ucontext_t scheduler;
  Thread* current = nullptr;
  const std::function<void()>* body = nullptr;
  std::exception_ptr error;
  int votes = 0, voters = 0;  // of the last barrier
};
inline Block* g_block = nullptr;

[[noreturn]] inline void refuse(const std::string& why) {
  throw std::logic_error("cudasim: " + why);
}

inline void park(Thread::State state) {
  Thread& self = *g_block->current;
  self.state = state;
  swapcontext(&self.context, &g_block->scheduler);
}

inline void fiber() {
  Block& block = *g_block;
  try {
    (*block.body)();
  } catch (...) {
    block.error = std::current_exception();
  }
  park(Thread::State::kDone);
}

// Every thread of the block that has not returned; those that have do not count, as on a GPU.
inline void wait_at_barrier(bool vote) {
  g_block->current->vote = vote;
  park(Thread::State::kAtBarrier);
}

// `argument` and `result` are the caller's; `source`: a lane, for the exchange.
inline void wait_at_exchange(uint32_t mask, Exchange exchange, const void* argument, void* result,
                             int source = 0) {
  Thread& self = *g_block->current;
  if ((mask >> self.lane() & 1) == 0) refuse("a thread is not in the mask that it gives");
  self.mask = mask;
  self.exchange = exchange;
  self.argument = argument;
  self.result = result;
  self.source = source;
  park(Thread::State::kAtExchange);
}

inline bool release_barrier(Block& block) {
  int votes = 0, voters = 0;
  for (const Thread& thread : block.threads) {
    if (thread.state == Thread::State::kDone) continue;
    if (thread.state != Thread::State::kAtBarrier) return false;
    votes += thread.vote ? 1 : 0;
    ++voters;
  }
  if (voters == 0) return false;
  block.votes = votes;
  block.voters = voters;
  for (Thread& thread : block.threads) {
    if (thread.state == Thread::State::kAtBarrier) thread.state = Thread::State::kRuns;
  }
  return true;
}

// Carries out every exchange of the warp from `first` on whose lanes are together.
inline bool release_exchanges(Block& block, size_t first) {
  const size_t lanes = std::min<size_t>(kWarp, block.threads.size() - first);
  bool released = false;
  for (size_t i = 0; i < lanes; ++i) {
    const Thread& caller = block.threads[first + i];
    if (caller.state != Thread::State::kAtExchange) continue;
    Thread* together[kWarp] = {};
    bool complete = true;
    for (size_t lane = 0; lane < kWarp && complete; ++lane) {
      if ((caller.mask >> lane & 1) == 0) continue;
      Thread* other = lane < lanes ? &block.threads[first + lane] : nullptr;
      complete = other != nullptr && other->state == Thread::State::kAtExchange &&
                 other->mask == caller.mask && other->exchange == caller.exchange;
      together[lane] = other;
    }
    if (!complete) continue;
    caller.exchange(together);
    for (Thread* thread : together) {
      if (thread != nullptr) thread->state = Thread::State::kRuns;
    }
    released = true;
  }
  return released;
}

// A function of its own: locals of one that calls getcontext may be lost, says the compiler.
inline void begin(Thread& thread) {
  thread.state = Thread::State::kRuns;
  getcontext(&thread.context);
  thread.context.uc_stack.ss_sp = thread.stack.get();
  thread.context.uc_stack.ss_size = kStackBytes;
  makecontext(&thread.context, fiber, 0);
}

[[noreturn]] inline void refuse_to_hang(const Block& block) {
  std::string who;
  int named = 0;
  for (const Thread& thread : block.threads) {
    if (thread.state == Thread::State::kDone || ++named > 8) continue;
    who += " " + std::to_string(thread.number) +
           (thread.state == Thread::State::kAtBarrier ? " at __syncthreads;"
                                                      : " at an operation of its warp;");
  }
  refuse("threads wait for ones that do not come:" + who + (named > 8 ? " ..." : ""));
}

inline void run_block(Block& block, Order order, std::mt19937_64& random) {
  g_block = &block;
  std::vector<size_t> turns(block.threads.size());
  for (size_t i = 0; i < turns.size(); ++i) {
    turns[i] = order == Order::kDescending ? turns.size() - 1 - i : i;
  }
  for (Thread& thread : block.threads) begin(thread);
  while (true) {
    if (order == Order::kShuffled) std::shuffle(turns.begin(), turns.end(), random);
    for (const size_t i : turns) {
      Thread& thread = block.threads[i];
      if (thread.state != Thread::State::kRuns) continue;
      block.current = &thread;
      swapcontext(&block.scheduler, &thread.context);
      if (block.error) std::rethrow_exception(block.error);
    }
    bool moved = release_barrier(block), all_done = true;
    for (size_t first = 0; first < block.threads.size(); first += kWarp) {
      moved = release_exchanges(block, first) || moved;
    }
    for (const Thread& thread : block.threads) {
      all_done = all_done && thread.state == Thread::State::kDone;
    }
    if (all_done) break;
    if (!moved) refuse_to_hang(block);
  }
  for (const Thread& thread : block.threads) {
    if (!thread.groups.empty() || !thread.open_group.empty()) {
      refuse("thread " + std::to_string(thread.number) + " returned with a copy under way");
    }
  }
}

// Memory of its own, so that a sanitizer sees what is behind its end.
inline std::unique_ptr<char[]> new_shared(size_t bytes) {
  auto memory = std::make_unique<char[]>(bytes);
  std::memset(memory.get(), kPoison, bytes);
  return memory;
}

inline void check_shared() {
  if (g_block->static_bytes + g_block->dynamic_bytes > kMaxSharedBytes) {
    refuse("a block takes more than " + std::to_string(kMaxSharedBytes) +
           " bytes of shared memory");
  }
}

// The block's variable that stands at `where` in the source.
template <class T>
T& static_shared(const std::source_location& where = std::source_location::current()) {
  const auto place = std::tuple(std::string(where.file_name()), where.line(), where.column());
  std::unique_ptr<char[]>& memory = g_block->static_shared[place];
  if (memory == nullptr) {
    memory = new_shared(sizeof(T));
    g_block->static_bytes += sizeof(T);
    check_shared();
  }
  return *reinterpret_cast<T*>(memory.get());
}

// kernel: a call of a __global__ function. Blocks run one after another.
inline void launch(Size grid, Size block_size, size_t shared_bytes, Order order,
                   const std::function<void()>& kernel) {
  if (grid.count() == 0 || block_size.count() == 0) refuse("an empty grid is refused by CUDA");
  if (block_size.count() > kMaxThreads || block_size.z > 64) refuse("a block is too large");
  if (grid.y > 65535 || grid.z > 65535) refuse("a grid is too large in y or z");
  Block block;
  block.size = block_size;
  block.grid = grid;
  block.body = &kernel;
  block.threads.resize(block_size.count());
  for (unsigned i = 0; i < block_size.count(); ++i) {
    Thread& thread = block.threads[i];
    thread.stack = std::make_unique<char[]>(kStackBytes);
    thread.number = i;
    thread.index = {i % block_size.x, i / block_size.x % block_size.y,
                    i / (block_size.x * block_size.y)};
  }
  std::mt19937_64 random(7);
  std::vector<unsigned> blocks(grid.count());
  for (unsigned i = 0; i < grid.count(); ++i) {
    blocks[i] = order == Order::kDescending ? grid.count() - 1 - i : i;
  }
  if (order == Order::kShuffled) std::shuffle(blocks.begin(), blocks.end(), random);
  for (const unsigned i : blocks) {
    block.index = {i % grid.x, i / grid.x % grid.y, i / (grid.x * grid.y)};
    block.static_shared.clear();
    block.static_bytes = 0;
    block.dynamic_bytes = shared_bytes;
    block.dynamic_shared = new_shared(shared_bytes);
    g_block = &block;
    check_shared();
    run_block(block, order, random);
  }
  g_block = nullptr;
}

}  // namespace cudasim
