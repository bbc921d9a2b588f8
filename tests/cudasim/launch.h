// The simulator's side of cuda/launch.cuh.
#pragma once

#include "cudasim/intrinsics.h"

#define LITTLEBIT_SHARED(type, name, size) type(&name)[size] = cudasim::static_shared<type[size]>()
#define LITTLEBIT_DYNAMIC_SHARED(type, name) \
  type* name = reinterpret_cast<type*>(cudasim::g_block->dynamic_shared.get())

using dim3 = cudasim::Size;
using cudaStream_t = void*;
enum cudaError_t { cudaSuccess = 0 };

namespace cudasim {

// In which order the launches of this thread run.
inline thread_local Order t_order = Order::kAscending;

inline float bf16(uint32_t pair, int high) {
  return std::bit_cast<float>(high != 0 ? pair & 0xFFFF0000u : pair << 16);
}

struct Factors {
  const uint32_t* a;
  const uint32_t* b;
};

inline void multiply_add(Thread* const* lanes) {
  float a[16][16], b[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const auto& factors = given<Factors>(*lanes[lane]);
    const int group = lane / 4, pair = lane % 4;
    for (int high = 0; high < 2; ++high) {
      for (int i = 0; i < 4; ++i) {
        a[group + i % 2 * 8][pair * 2 + high + i / 2 * 8] = bf16(factors.a[i], high);
      }
      for (int i = 0; i < 2; ++i) b[pair * 2 + high + i * 8][group] = bf16(factors.b[i], high);
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    auto* c = static_cast<float*>(lanes[lane]->result);
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
      for (int k = 0; k < 16; ++k) c[i] += a[row][k] * b[k][column];
    }
  }
}

inline void finish_copies(size_t still) {
  Thread& self = *g_block->current;
  while (self.groups.size() > still) {
    for (const Copy& copy : self.groups.front()) std::memcpy(copy.to, copy.from, copy.bytes);
    self.groups.pop_front();
  }
}

}  // namespace cudasim

namespace littlebit::cuda {

struct Geometry {
  dim3 grid, block;
  size_t shared_bytes = 0;
};

template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), const Geometry& geometry, cudaStream_t,
                   Arguments... arguments) {
  cudasim::launch(geometry.grid, geometry.block, geometry.shared_bytes, cudasim::t_order,
                  [&] { kernel(static_cast<Parameters>(arguments)...); });
  return cudaSuccess;
}

// The copy is made when it is waited for; what was there is gone at once.
inline void copy_async_16(void* shared, const void* global) {
  if (reinterpret_cast<uintptr_t>(shared) % 16 != 0 ||
      reinterpret_cast<uintptr_t>(global) % 16 != 0) {
    cudasim::refuse("an asynchronous copy of 16 bytes that is not aligned to them");
  }
  std::memset(shared, cudasim::kPoison, 16);
  cudasim::g_block->current->open_group.push_back({shared, global, 16});
}
inline void close_copy_group() {
  cudasim::Thread& self = *cudasim::g_block->current;
  self.groups.push_back(std::exchange(self.open_group, {}));
}
template <int kStill>
void wait_for_copies() {
  cudasim::finish_copies(kStill);
}

inline void multiply_add_bf16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  const cudasim::Factors factors{a, b};
  cudasim::wait_at_exchange(cudasim::kAllLanes, cudasim::multiply_add, &factors, c);
}

}  // namespace littlebit::cuda
