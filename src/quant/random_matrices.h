// Random matrices of the factorisation, the same on every device.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "littlebit/core/rng.h"

namespace littlebit {

// [rows, cols] of independent normals in the type and place of `like`, the same on every device.
at::Tensor gaussian(int64_t rows, int64_t cols, const at::Tensor& like, uint64_t seed,
                    const std::string& purpose);

// [rows, cols] of +1 and -1.
at::Tensor random_signs(int64_t rows, int64_t cols, const at::Tensor& like,
                        const RandomStream& random);

}  // namespace littlebit
