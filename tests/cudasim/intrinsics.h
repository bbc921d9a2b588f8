// CUDA's names for device code, meaning what block.h does: built-in variables, barriers, operations
// of a warp, atomics. A lane that a shuffle reads must take part in it.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "cudasim/block.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)

#define threadIdx (cudasim::g_block->current->index)
#define blockIdx (cudasim::g_block->index)
#define blockDim (cudasim::g_block->size)
#define gridDim (cudasim::g_block->grid)

namespace cudasim {

template <class T>
const T& given(const Thread& thread) {
  return *static_cast<const T*>(thread.argument);
}

template <class T>
void shuffle(Thread* const* lanes) {
  for (unsigned i = 0; i < kWarp; ++i) {
    if (lanes[i] == nullptr) continue;
    const Thread* source = lanes[lanes[i]->source];
    if (source == nullptr) refuse("a shuffle reads a lane that does not take part in it");
    *static_cast<T*>(lanes[i]->result) = given<T>(*source);
  }
}

inline void ballot(Thread* const* lanes) {
  uint32_t votes = 0;
  for (unsigned i = 0; i < kWarp; ++i) {
    if (lanes[i] != nullptr && given<bool>(*lanes[i])) votes |= 1u << i;
  }
  for (unsigned i = 0; i < kWarp; ++i) {
    if (lanes[i] != nullptr) *static_cast<uint32_t*>(lanes[i]->result) = votes;
  }
}

inline void meet(Thread* const*) {}

template <class T, class Operation>
void reduce(Thread* const* lanes) {
  static_assert(std::is_integral_v<T>, "CUDA reduces integers only");
  bool first = true;
  T sum{};
  for (unsigned i = 0; i < kWarp; ++i) {
    if (lanes[i] == nullptr) continue;
    sum = first ? given<T>(*lanes[i]) : Operation()(sum, given<T>(*lanes[i]));
    first = false;
  }
  for (unsigned i = 0; i < kWarp; ++i) {
    if (lanes[i] != nullptr) *static_cast<T*>(lanes[i]->result) = sum;
  }
}

template <class T, class Operation>
T reduce_over(uint32_t mask, T value) {
  T result{};
  wait_at_exchange(mask, reduce<T, Operation>, &value, &result);
  return result;
}

template <class T>
T shuffle_from(uint32_t mask, T value, int source) {
  T result{};
  wait_at_exchange(mask, shuffle<T>, &value, &result, source);
  return result;
}

inline int this_lane() { return static_cast<int>(g_block->current->lane()); }

struct Larger {
  template <class T>
  T operator()(T a, T b) const {
    return a > b ? a : b;
  }
};
struct Smaller {
  template <class T>
  T operator()(T a, T b) const {
    return a < b ? a : b;
  }
};

}  // namespace cudasim

inline void __syncthreads() { cudasim::wait_at_barrier(false); }
inline int __syncthreads_count(int vote) {
  cudasim::wait_at_barrier(vote != 0);
  return cudasim::g_block->votes;
}
inline int __syncthreads_or(int vote) { return __syncthreads_count(vote) > 0; }
inline int __syncthreads_and(int vote) {
  return __syncthreads_count(vote) == cudasim::g_block->voters;
}
inline void __syncwarp(uint32_t mask = cudasim::kAllLanes) {
  cudasim::wait_at_exchange(mask, cudasim::meet, nullptr, nullptr);
}
inline void __threadfence() {}
inline void __threadfence_block() {}

inline uint32_t __ballot_sync(uint32_t mask, bool vote) {
  uint32_t votes = 0;
  cudasim::wait_at_exchange(mask, cudasim::ballot, &vote, &votes);
  return votes;
}
inline int __any_sync(uint32_t mask, bool vote) { return __ballot_sync(mask, vote) != 0; }
inline int __all_sync(uint32_t mask, bool vote) { return __ballot_sync(mask, vote) == mask; }

// width: a power of two; lanes shuffle within groups of so many.
template <class T>
T __shfl_sync(uint32_t mask, T value, int source, int width = 32) {
  const int group = cudasim::this_lane() & ~(width - 1);
  return cudasim::shuffle_from(mask, value, group + (source & (width - 1)));
}
template <class T>
T __shfl_xor_sync(uint32_t mask, T value, int distance, int width = 32) {
  const int lane = cudasim::this_lane(), other = lane ^ distance;
  const bool beyond = (other & ~(width - 1)) > (lane & ~(width - 1));
  return cudasim::shuffle_from(mask, value, beyond ? lane : other);
}
template <class T>
T __shfl_down_sync(uint32_t mask, T value, int distance, int width = 32) {
  const int lane = cudasim::this_lane();
  const bool beyond = (lane & (width - 1)) + distance >= width;
  return cudasim::shuffle_from(mask, value, beyond ? lane : lane + distance);
}
template <class T>
T __shfl_up_sync(uint32_t mask, T value, int distance, int width = 32) {
  const int lane = cudasim::this_lane();
  const bool before = (lane & (width - 1)) < distance;
  return cudasim::shuffle_from(mask, value, before ? lane : lane - distance);
}

template <class T>
T __reduce_add_sync(uint32_t mask, T value) {
  return cudasim::reduce_over<T, std::plus<T>>(mask, value);
}
template <class T>
T __reduce_max_sync(uint32_t mask, T value) {
  return cudasim::reduce_over<T, cudasim::Larger>(mask, value);
}
template <class T>
T __reduce_min_sync(uint32_t mask, T value) {
  return cudasim::reduce_over<T, cudasim::Smaller>(mask, value);
}
inline uint32_t __reduce_or_sync(uint32_t mask, uint32_t value) {
  return cudasim::reduce_over<uint32_t, std::bit_or<uint32_t>>(mask, value);
}
inline uint32_t __reduce_and_sync(uint32_t mask, uint32_t value) {
  return cudasim::reduce_over<uint32_t, std::bit_and<uint32_t>>(mask, value);
}
inline uint32_t __reduce_xor_sync(uint32_t mask, uint32_t value) {
  return cudasim::reduce_over<uint32_t, std::bit_xor<uint32_t>>(mask, value);
}

// Threads run one at a time: whole as they are. They return what was there before.
template <class T>
T atomicAdd(T* place, std::type_identity_t<T> value) {
  return std::exchange(*place, *place + value);
}
template <class T>
T atomicMax(T* place, std::type_identity_t<T> value) {
  return std::exchange(*place, std::max(*place, value));
}
template <class T>
T atomicMin(T* place, std::type_identity_t<T> value) {
  return std::exchange(*place, std::min(*place, value));
}
template <class T>
T atomicOr(T* place, std::type_identity_t<T> value) {
  return std::exchange(*place, *place | value);
}
template <class T>
T atomicExch(T* place, std::type_identity_t<T> value) {
  return std::exchange(*place, value);
}
template <class T>
T atomicCAS(T* place, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  const T before = *place;
  if (before == expected) *place = value;
  return before;
}

inline int __popc(uint32_t bits) { return std::popcount(bits); }
inline int __clz(uint32_t bits) { return std::countl_zero(bits); }
inline int __ffs(uint32_t bits) { return bits == 0 ? 0 : std::countr_zero(bits) + 1; }
template <class T>
T __ldg(const T* place) {
  return *place;
}
inline uint32_t __float_as_uint(float value) { return std::bit_cast<uint32_t>(value); }
inline float __uint_as_float(uint32_t bits) { return std::bit_cast<float>(bits); }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float rsqrtf(float value) { return 1.0f / std::sqrt(value); }
