// The sign kernels of signs.cuh given to a stream with the sizes of their grids. Nothing is
// launched for an empty job (CUDA refuses an empty grid), and nothing waits: what a kernel meets is
// known when the stream is next waited for.
#include <algorithm>

#include "signs.cuh"
#include "signs.h"

namespace littlebit::cuda {
namespace {

constexpr unsigned kThreads = 256;
constexpr int64_t kMostBlocks = 16384;

unsigned blocks_for(int64_t threads) {
  return static_cast<unsigned>(
      std::clamp<int64_t>((threads + kThreads - 1) / kThreads, 1, kMostBlocks));
}

}  // namespace

template <class T>
cudaError_t expand(const SignExpansion<T>& job, cudaStream_t stream) {
  if (job.rows == 0 || job.cols == 0) return cudaSuccess;
  const auto bits = expand_job(job);
  constexpr int64_t kPiece = 16 / sizeof(T);
  const int64_t pieces = job.rows * ((job.cols + kPiece - 1) / kPiece);
  return launch(expand_kernel<typename BitsOf<sizeof(T)>::Type>,
                {.grid = blocks_for(pieces), .block = kThreads}, stream, bits);
}

template <class T>
cudaError_t pack(const T* latents, int64_t n, uint32_t* words, int64_t* flips,
                 cudaStream_t stream) {
  if (n == 0) return cudaSuccess;
  return launch(pack_kernel<T>, {.grid = blocks_for(n / 32), .block = kThreads}, stream, latents,
                n / 32, words, reinterpret_cast<unsigned long long*>(flips));
}

template cudaError_t expand(const SignExpansion<float>&, cudaStream_t);
template cudaError_t expand(const SignExpansion<double>&, cudaStream_t);
template cudaError_t expand(const SignExpansion<uint16_t>&, cudaStream_t);
template cudaError_t pack(const float*, int64_t, uint32_t*, int64_t*, cudaStream_t);
template cudaError_t pack(const double*, int64_t, uint32_t*, int64_t*, cudaStream_t);

}  // namespace littlebit::cuda
