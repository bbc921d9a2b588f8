// Filled from counter-based streams (core/rng.h): number i depends on seed, purpose and i alone.
#include "random_matrices.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>

#include "littlebit/core/rng.h"

namespace littlebit {
namespace {

// -1 for each bit that is set, else +1, the lowest bit first.
constexpr auto kSignsOfByte = [] {
  std::array<std::array<float, 8>, 256> signs{};
  for (uint32_t i = 0; i < 8 * 256; ++i) signs[i / 8][i % 8] = (i / 8 >> i % 8 & 1) != 0 ? -1 : 1;
  return signs;
}();

}  // namespace

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
  std::array<uint32_t, 4> words{};
  const int64_t count = out.numel();
  auto* numbers = out.data_ptr<float>();
  for (int64_t i = 0; i < count; i += 8) {
    if (i % 128 == 0) words = random.block(static_cast<uint64_t>(i / 128));
    // 128 bits of a block of the stream are 128 signs, taken a byte at a time.
    const uint32_t byte = words[i % 128 / 32] >> (i % 32) & 0xFF;
    std::copy_n(kSignsOfByte[byte].begin(), std::min<int64_t>(8, count - i), numbers + i);
  }
  return out.to(like.options());
}

}  // namespace littlebit
