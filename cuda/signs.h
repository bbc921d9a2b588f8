// Launchers of the sign kernels: the CUDA twins of kernels/signs.h on a given stream.
#pragma once

#ifdef LITTLEBIT_SIMULATE_CUDA
#include "cudasim/launch.h"
#else
#include <cuda_runtime_api.h>
#endif

#include "littlebit/kernels/signs.h"

namespace littlebit::cuda {

template <class T>
cudaError_t expand(const SignExpansion<T>& job, cudaStream_t stream);
template <class T>
cudaError_t pack(const T* latents, int64_t n, uint32_t* words, int64_t* flips, cudaStream_t stream);

}  // namespace littlebit::cuda
