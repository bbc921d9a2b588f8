// What the factorisation needs beside ATen: products, random matrices.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "littlebit/core/rng.h"

namespace littlebit {

// a b^T, a [m, k], b [n, k]. fp32 on a CPU goes through oneDNN, whose kernels are written for every
// vendor's CPUs: 2-3 times MKL's speed on AMD's, the same on Intel's. No gradient.
at::Tensor product_nt(const at::Tensor& a, const at::Tensor& b);

// [rows, cols] of independent normals in the type and place of `like`, the same on every device.
at::Tensor gaussian(int64_t rows, int64_t cols, const at::Tensor& like, uint64_t seed,
                    const std::string& purpose);

// [rows, cols] of +1 and -1.
at::Tensor random_signs(int64_t rows, int64_t cols, const at::Tensor& like,
                        const RandomStream& random);

}  // namespace littlebit
