// The gauge of latents: another size, the same signs.
#include "littlebit/optim/group_state.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <limits>

#include "littlebit/optim/optimizer.h"
#include "support/tiny_model.h"
#include "support/tiny_training.h"
#include "temp_folder.h"

using namespace littlebit;

namespace {

double rms(const at::Tensor& t) { return t.to(at::kDouble).square().mean().sqrt().item<double>(); }

}  // namespace

TEST_CASE("latents get the root mean square asked for, and keep every sign") {
  at::manual_seed(3);
  const at::Tensor latents = at::randn({40, 24});
  for (const double size : {1e-3, 0.02, 5.0}) {
    const at::Tensor scaled = with_rms(latents, size);
    CHECK(rms(scaled) == Approx(size));
    CHECK(at::equal(sign_of(scaled), sign_of(latents)));
    CHECK(at::allclose(scaled / size, latents / rms(latents), 1e-5, 1e-7));
  }
  const at::Tensor zeros = at::zeros({4, 4});
  CHECK(at::equal(with_rms(zeros, 0.02), zeros));
  SECTION("also of numbers that become too small for fp32") {
    at::Tensor wide = at::full({4}, 1e30f);
    wide[1] = -1e-10f;
    wide[2] = 1e-10f;
    const at::Tensor scaled = with_rms(wide, 0.02);
    CHECK(at::equal(sign_of(scaled), sign_of(wide)));
    CHECK(scaled[1].item<float>() < 0);
  }
}

TEST_CASE("a student that starts with the gauge computes what it computes without") {
  const TempFolder folder;
  test::write_tiny_llama(folder.path(), {});
  test::TinyTraining plain(folder.path(), {.bits_per_weight = 2}),
      gauged(folder.path(), {.bits_per_weight = 2, .latent_rms = 0.02});
  for (size_t i = 0; i < plain.optimizer->states().size(); ++i) {
    const GroupState &one = plain.optimizer->states()[i], &other = gauged.optimizer->states()[i];
    CHECK(at::equal(one.group().bits(), other.group().bits()));
    CHECK(at::equal(one.group().vectors(), other.group().vectors()));
    for (const Segment& segment : one.group().layout().latents) {
      INFO(segment.name);
      CHECK(rms(segment.view(other.latents())) == Approx(0.02));
      CHECK(rms(segment.view(one.latents())) != Approx(0.02));
    }
    other.update_bits();
    CHECK(at::equal(one.group().bits(), other.group().bits()));
  }
}
