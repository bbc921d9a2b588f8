// What stands between the operations, which know tensors, and their kernels, which do not: the job
// of an operation (kernels/<operation>.h), given to a stream.
#pragma once

#ifdef LITTLEBIT_SIMULATE_CUDA
#include "cudasim/launch.h"
#else
#include <cuda_runtime_api.h>
#endif

namespace littlebit::cuda {

// Launches what does the job; nothing is launched for an empty one (CUDA refuses an empty grid),
// and nothing waits: what a kernel meets is known when the stream is next waited for. There is no
// other definition than the specialisations for the types of jobs, each in its operation's .cu
// file.
template <class Job>
cudaError_t run(const Job& job, cudaStream_t stream);

}  // namespace littlebit::cuda
