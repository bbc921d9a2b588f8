// The compute options in LibTorch's words. 0 threads stands for as many as this process may run at
// once.
#include "compute.h"

#include <ATen/Parallel.h>

#include "littlebit/core/parallel.h"

namespace littlebit {

at::ScalarType compute_type(EvalDtype dtype) {
  return dtype == EvalDtype::kBf16 ? at::kBFloat16 : at::kFloat;
}

void use_threads(int64_t threads) {
  at::set_num_threads(threads > 0 ? static_cast<int>(threads) : hardware_threads());
}

}  // namespace littlebit
