// Signs by operations against one number at a time.
#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "littlebit/ops/expand_signs.h"
#include "littlebit/ops/update_signs.h"

using namespace littlebit;

TEST_CASE("signs of latents and their expansion, one number at a time") {
  at::manual_seed(3);
  const int64_t rows = 5, cols = 21, first = 37;
  const at::Tensor latents = at::randn({32 * 5});
  latents[40] = 0;
  latents[41] = -0.0;
  latents[42] = NAN;
  const at::Tensor words = at::zeros({5}, at::kInt), flips = at::full({1}, 100, at::kLong);
  update_signs(latents, words, flips);
  int64_t negative = 0;
  for (int64_t i = 0; i < latents.numel(); ++i) {
    const bool want = latents[i].item<float>() < 0;
    negative += want ? 1 : 0;
    CHECK(((words[i / 32].item<int32_t>() >> (i % 32)) & 1) == (want ? 1 : 0));
  }
  CHECK(flips.item<int64_t>() == 100 + negative);
  const at::Tensor scale = at::randn({cols});
  const at::Tensor wide = at::full({rows, cols + 2}, 9.0F);
  expand_sign_matrix(wide.narrow(1, 1, cols), words, first, {}, scale);
  for (int64_t r = 0; r < rows; ++r) {
    CHECK(wide[r][0].item<float>() == 9);
    CHECK(wide[r][cols + 1].item<float>() == 9);
    for (int64_t c = 0; c < cols; ++c) {
      const float sign = latents[first + r * cols + c].item<float>() < 0 ? -1 : 1;
      CHECK(wide[r][c + 1].item<float>() == sign * scale[c].item<float>());
    }
  }
}

TEST_CASE("an expansion takes one scale and a type it knows") {
  const at::Tensor words = at::zeros({4}, at::kInt), scale = at::ones({4});
  CHECK_THROWS(expand_sign_matrix(at::empty({4, 4}), words, 0, scale, scale));
  CHECK_THROWS(expand_sign_matrix(at::empty({4, 4}, at::kHalf), words, 0, {}, {}));
  CHECK_THROWS(expand_sign_matrix(at::empty({4, 4}).t().narrow(0, 0, 2), words, 0, {}, {}));
  CHECK_THROWS(update_signs(at::ones({64}), words));
}
