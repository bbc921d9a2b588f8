// The operations' forms for CUDA in LibTorch's dispatcher.
#pragma once

namespace littlebit::cuda {

void register_operations();  // a second call does nothing

}  // namespace littlebit::cuda
