// Signs of latents to bits. Same contract as kernels/signs.h: NaN and both zeros count as positive.
#include "launch.cuh"
#include "littlebit/kernels/signs.h"

namespace littlebit::cuda {

// A warp makes 32 words at a time: one vote per word, lane k keeps word k. Blocks of whole warps.
template <class T>
__global__ void pack_kernel(const T* latents, int64_t num_words, uint32_t* words,
                            unsigned long long* flips) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int64_t warp = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / 32;
  const int64_t warps = static_cast<int64_t>(gridDim.x) * blockDim.x / 32;
  unsigned long long changed = 0;
  for (int64_t first = warp * 32; first < num_words; first += warps * 32) {
    // All lanes vote, with a latent each; a lane beyond the last word votes for words of others and
    // keeps none.
    uint32_t mine = 0;
    for (int k = 0; k < 32 && first + k < num_words; ++k) {
      const uint32_t vote = __ballot_sync(0xFFFFFFFFu, latents[(first + k) * 32 + lane] < 0);
      if (lane == k) mine = vote;
    }
    if (first + lane < num_words) {
      changed += __popc(mine ^ words[first + lane]);
      words[first + lane] = mine;
    }
  }
  // One atomic addition a warp, of whole numbers: their order does not matter.
  for (int distance = 16; distance > 0; distance /= 2) {
    changed += __shfl_xor_sync(0xFFFFFFFFu, changed, distance);
  }
  if (lane == 0 && changed > 0) atomicAdd(flips, changed);
}

template <class T>
cudaError_t pack(const SignPacking<T>& job, cudaStream_t stream) {
  if (job.num_words == 0) return cudaSuccess;
  return launch(pack_kernel<T>, {.grid = blocks_for(job.num_words), .block = kThreads}, stream,
                job.latents, job.num_words, job.words,
                reinterpret_cast<unsigned long long*>(job.flips));
}

template <>
cudaError_t run(const SignPacking<float>& job, cudaStream_t stream) {
  return pack(job, stream);
}
template <>
cudaError_t run(const SignPacking<double>& job, cudaStream_t stream) {
  return pack(job, stream);
}

}  // namespace littlebit::cuda
