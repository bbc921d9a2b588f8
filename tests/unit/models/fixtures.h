// The golden fixtures of tests/golden/models as the tests see them.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "support/loaded_model.h"

namespace littlebit {

struct Tolerance {
  double atol = 0, rtol = 0, loss = 0, grad_norm_rtol = 0;
};

struct Fixture {
  std::string set, name;  // folders below tests/golden
  Tolerance tolerance;

  std::filesystem::path path() const;
  at::Tensor expected(const std::string& tensor) const;  // undefined where the file has none
  std::map<std::string, double> grad_norms() const;      // empty where there are none
};

std::vector<Fixture> fixtures();  // every row of both manifest.json
Fixture fixture(const std::string& name);

using test::LoadedModel;

// The largest |got - want| and the largest (|got - want| - rtol |want|): the second must stay below
// atol.
struct Gap {
  double largest = 0, beyond_rtol = 0;
};
Gap gap(const at::Tensor& got, const at::Tensor& want, double rtol);

double next_token_loss(const at::Tensor& logits, const at::Tensor& ids);

// The L2 norm of the loss's gradient for every tensor of the checkpoint (matrices, biases, norms,
// embedding, positions, head), by tensor name: the whole decoder as one autograd graph. A tied
// matrix comes once, under its embedding's name.
std::map<std::string, double> gradient_norms(Decoder& decoder, const at::Tensor& ids);

}  // namespace littlebit
