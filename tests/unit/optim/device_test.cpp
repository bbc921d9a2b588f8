// Gradients and states on a device that is not the CPU (tests/support/other_device.h).
#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "littlebit/optim/optimizer.h"
#include "support/other_device.h"
#include "support/tiny_model.h"
#include "support/tiny_training.h"

using namespace littlebit;

TEST_CASE("a group's gradients and latents on another device", "[device]") {
  const at::Device other = test::other_device();
  const TempFolder folder;
  test::write_tiny_llama(folder.path(), {.biases = true});
  test::TinyTraining here(folder.path(), {.bits_per_weight = 2}),
      there(folder.path(), {.bits_per_weight = 2}, other);
  at::manual_seed(1);
  for (size_t g = 0; g < here.gradients.size(); ++g) {
    INFO("group " << g);
    CHECK(at::equal(there.latents()[g].cpu(), here.latents()[g]));
    StudentGroup& group = here.student->groups()[g];
    if (group.layout().is_empty()) continue;
    std::vector<at::Tensor> a, b;
    group.materialize(true);
    for (const at::Tensor& leaf : group.leaves()) {
      a.push_back(at::randn(leaf.sizes()));
      b.push_back(a.back().to(other));
    }
    group.release();
    here.gradients[g].add(a);
    there.gradients[g].add(b);
    here.gradients[g].finish();
    there.gradients[g].finish();
    CHECK(
        at::allclose(there.gradients[g].latents().cpu(), here.gradients[g].latents(), 1e-5, 1e-6));
    CHECK(
        at::allclose(there.gradients[g].vectors().cpu(), here.gradients[g].vectors(), 1e-5, 1e-5));
  }
}
