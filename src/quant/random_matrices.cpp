// Filled from counter-based streams (core/rng.h): number i depends on seed, purpose and i alone.
#include "random_matrices.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>

#include "littlebit/core/rng.h"

namespace littlebit {

at::Tensor gaussian(int64_t rows, int64_t cols, const at::Tensor& like, uint64_t seed,
                    const std::string& purpose) {
  at::Tensor out = at::empty({rows, cols}, at::TensorOptions().dtype(at::kFloat));
  RandomStream(seed, purpose)
      .fill_normal(0, {out.data_ptr<float>(), static_cast<size_t>(out.numel())});
  return out.to(like.options());
}

at::Tensor random_signs(int64_t rows, int64_t cols, const at::Tensor& like,
                        const RandomStream& random) {
  at::Tensor out = at::empty({rows, cols}, at::TensorOptions().dtype(at::kFloat));
  const int64_t count = out.numel();
  auto* numbers = out.data_ptr<float>();
  for (int64_t i = 0; i < count; i += 128) {
    const std::array<uint32_t, 4> words = random.block(static_cast<uint64_t>(i / 128));
    for (int64_t j = 0; j < std::min<int64_t>(128, count - i); ++j) {
      numbers[i + j] = (words[j / 32] >> (j % 32) & 1) != 0 ? -1.0f : 1.0f;
    }
  }
  return out.to(like.options());
}

}  // namespace littlebit
