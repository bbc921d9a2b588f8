// AdamW on latents and their new sign bits, a warp to a block of latents. Same contract as
// kernels/latent_update.h.
#include "launch.cuh"
#include "littlebit/kernels/latent_update.h"
#include "numbers.cuh"

namespace littlebit::cuda {

constexpr int kWords = static_cast<int>(kMomentBlock / 32);  // lane k has number k of each

// By exchanges between lanes: a warp needs neither shared memory nor a barrier.
__device__ inline float most_over_warp(float value) {
  for (int distance = 16; distance > 0; distance /= 2) {
    value = fmaxf(value, __shfl_xor_sync(0xFFFFFFFFu, value, distance));
  }
  return value;
}

// One number's moments, widened, and kept again where they are kept as they are or in bf16.
__device__ inline void load(const LatentUpdateJob<float>& job, int64_t /*block*/, int64_t i,
                            float& average, float& square) {
  average = job.exp_avg[i];
  square = job.exp_avg_sq[i];
}
__device__ inline void load(const LatentUpdateJob<uint16_t>& job, int64_t /*block*/, int64_t i,
                            float& average, float& square) {
  average = widened(job.exp_avg[i]);
  square = widened(job.exp_avg_sq[i]);
}
__device__ inline void load(const LatentUpdateJob<uint8_t>& job, int64_t block, int64_t i,
                            float& average, float& square) {
  average = average_of_code(job.exp_avg[i]) * job.average_scales[block];
  const float root = root_of_code(job.exp_avg_sq[i]) * job.root_scales[block];
  square = root * root;
}

// The moments of lane `lane`'s numbers of a block.
template <class Moment>
__device__ void keep(const LatentUpdateJob<Moment>& job, int64_t block, int lane,
                     const float (&average)[kWords], const float (&square)[kWords]) {
  const int64_t first = block * kMomentBlock + lane;
  if constexpr (sizeof(Moment) == sizeof(float)) {
    for (int k = 0; k < kWords; ++k) {
      job.exp_avg[first + 32 * k] = average[k];
      job.exp_avg_sq[first + 32 * k] = square[k];
    }
    return;
  } else {
    uint32_t chance[4];
    moment_bits(job.random, job.first_block + static_cast<uint64_t>(block),
                static_cast<uint32_t>(lane), chance);
    if constexpr (sizeof(Moment) == 2) {
      for (int k = 0; k < kWords; ++k) {
        job.exp_avg[first + 32 * k] = bf16_by_chance(average[k], chance[k] & 0xFFFF);
        job.exp_avg_sq[first + 32 * k] = bf16_by_chance(square[k], chance[k] >> 16);
      }
    } else {
      float scale = 0, root_scale = 0;
      for (int k = 0; k < kWords; ++k) {
        scale = fmaxf(scale, fabsf(average[k]));
        root_scale = fmaxf(root_scale, square[k]);
      }
      scale = most_over_warp(scale);
      root_scale = sqrtf(most_over_warp(root_scale));
      if (lane == 0) {
        job.average_scales[block] = scale;
        job.root_scales[block] = root_scale;
      }
      // In a block of zeros the parts are 0 / 1.
      const float divisor = scale > 0 ? scale : 1.0f;
      const float root_divisor = root_scale > 0 ? root_scale : 1.0f;
      for (int k = 0; k < kWords; ++k) {
        job.exp_avg[first + 32 * k] = average_code(average[k] / divisor, chance[k] & 0xFFFF);
        job.exp_avg_sq[first + 32 * k] =
            root_code(sqrtf(square[k]) / root_divisor, chance[k] >> 16);
      }
    }
  }
}

// A lane has the numbers lane, 32 + lane, 64 + lane and 96 + lane of a block: loads of a warp are
// contiguous, and a vote over the lanes is one word of sign bits.
template <class Moment>
__global__ void update_latents_kernel(LatentUpdateJob<Moment> job, unsigned long long* flips) {
  const float clip = *job.clip;
  // Decided here, so that the host need not wait for the norm. NaN compares false, too.
  if (!(fabsf(clip) < INFINITY)) return;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int64_t warp = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / 32;
  const int64_t warps = static_cast<int64_t>(gridDim.x) * blockDim.x / 32;
  const AdamWNumbers& by = job.numbers;
  unsigned long long changed = 0;
  for (int64_t block = warp; block < job.blocks; block += warps) {
    // Four numbers of each lane, in registers from load to store: each array of the state is read
    // once and written once.
    float average[kWords], square[kWords];
    for (int k = 0; k < kWords; ++k) {
      const int64_t i = block * kMomentBlock + 32 * k + lane;
      load(job, block, i, average[k], square[k]);
      const float g = job.gradients[i] * clip;
      average[k] += by.fresh1 * (g - average[k]);
      square[k] = by.beta2 * square[k] + by.fresh2 * g * g;
      const float latent =
          job.latents[i] * by.keep -
          by.step_size * average[k] / (sqrtf(square[k]) / by.root_divisor + by.epsilon);
      job.latents[i] = latent;
      // Lane k keeps word k: four lanes write four words that lie side by side.
      const uint32_t vote = __ballot_sync(0xFFFFFFFFu, latent < 0);
      if (lane == k) {
        uint32_t& word = job.words[block * kWords + k];
        changed += __popc(vote ^ word);
        word = vote;
      }
    }
    __syncwarp();  // every lane has read the block's scales
    keep(job, block, lane, average, square);
  }
  // One atomic addition a warp, of whole numbers: their order does not matter.
  for (int distance = 16; distance > 0; distance /= 2) {
    changed += __shfl_xor_sync(0xFFFFFFFFu, changed, distance);
  }
  if (lane == 0 && changed > 0) atomicAdd(flips, changed);
}

template <class Moment>
cudaError_t update(const LatentUpdateJob<Moment>& job, cudaStream_t stream) {
  if (job.blocks == 0) return cudaSuccess;
  return launch(update_latents_kernel<Moment>,
                {.grid = blocks_for(job.blocks * 32), .block = kThreads}, stream, job,
                reinterpret_cast<unsigned long long*>(job.flips));
}

template <>
cudaError_t run(const LatentUpdateJob<float>& job, cudaStream_t stream) {
  return update(job, stream);
}
template <>
cudaError_t run(const LatentUpdateJob<uint16_t>& job, cudaStream_t stream) {
  return update(job, stream);
}
template <>
cudaError_t run(const LatentUpdateJob<uint8_t>& job, cudaStream_t stream) {
  return update(job, stream);
}

}  // namespace littlebit::cuda
