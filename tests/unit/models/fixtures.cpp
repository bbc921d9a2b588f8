// Opens the fixtures and compares a decoder's outputs, loss and gradients with what is recorded,
// within the tolerance that the manifest gives.
#include "fixtures.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/ones_like.h>
#include <c10/core/GradMode.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "littlebit/nn/autograd.h"
#include "littlebit/nn/tensor_io.h"
#include "support/paths.h"

namespace littlebit {
namespace {

std::filesystem::path golden() {
  return std::filesystem::path(littlebit::test::kSourceDir) / "tests/golden";
}

at::Tensor loss_of(const at::Tensor& logits, const at::Tensor& ids) {
  const int64_t length = ids.size(1);
  return at::cross_entropy_loss(logits.narrow(1, 0, length - 1).flatten(0, 1),
                                ids.narrow(1, 1, length - 1).flatten());
}

}  // namespace

std::filesystem::path Fixture::path() const { return golden() / set / name; }

at::Tensor Fixture::expected(const std::string& tensor) const {
  const SafetensorsFile file(path() / "expected.safetensors");
  const TensorView* view = file.find(tensor);
  return view == nullptr ? at::Tensor() : map_tensor(*view).clone();
}

std::map<std::string, double> Fixture::grad_norms() const {
  if (!std::filesystem::exists(path() / "grad_norms.json")) return {};
  return read_json_file(path() / "grad_norms.json").get<std::map<std::string, double>>();
}

std::vector<Fixture> fixtures() {
  at::set_num_threads(1);  // matrices this small are slower on two
  std::vector<Fixture> all;
  for (const char* set : {"models", "more_models", "newer_models"}) {
    const Json manifest = read_json_file(golden() / set / "manifest.json");
    for (const Json& row : manifest["variants"]) {
      const Json& t = row["tolerance"];
      all.push_back({set, row["name"], {t["atol"], t["rtol"], t["loss"], t["grad_norm_rtol"]}});
    }
  }
  return all;
}

Fixture fixture(const std::string& name) {
  for (const Fixture& candidate : fixtures()) {
    if (candidate.name == name) return candidate;
  }
  FAIL("no fixture " << name);
  return {};
}

Gap gap(const at::Tensor& got, const at::Tensor& want, double rtol) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (got.sizes() != want.sizes()) return {kInfinity, kInfinity};
  const at::Tensor wide = want.to(at::kDouble);
  const at::Tensor difference = at::abs(got.to(at::kDouble) - wide);
  Gap result{difference.max().item<double>(),
             (difference - at::abs(wide) * rtol).max().item<double>()};
  if (std::isnan(result.largest)) return {kInfinity, kInfinity};
  return result;
}

double next_token_loss(const at::Tensor& logits, const at::Tensor& ids) {
  return loss_of(logits, ids).item<double>();
}

std::map<std::string, double> gradient_norms(Decoder& decoder, const at::Tensor& ids) {
  std::vector<std::string> names;
  std::vector<at::Tensor> leaves;
  const auto add = [&](const std::string& name, const at::Tensor& leaf) {
    if (!leaf.defined()) return;
    names.push_back(name);
    leaves.push_back(leaf);
    leaf.set_requires_grad(true);
  };
  // Widened: gradients would be summed in the type that they are stored in.
  FrozenTensors frozen = decoder.frozen();
  const bool tied = decoder.spec().tied_embeddings;
  if (!tied) frozen.embedding = frozen.embedding.to(decoder.compute_dtype());
  if (frozen.positions.defined()) frozen.positions = frozen.positions.to(decoder.compute_dtype());
  decoder.set_frozen(frozen);
  add(decoder.parts().frozen_names.embedding, decoder.frozen().embedding);
  add(decoder.parts().frozen_names.positions, decoder.frozen().positions);
  if (!tied) add(decoder.head().weight.tensor, dense_weight(decoder.head()));
  decoder.visit_linears([&](LinearSlot& slot) {
    const auto& linear = dynamic_cast<const DenseLinear&>(*slot.linear);
    add(slot.weight.tensor, linear.weight());
    add(slot.bias.tensor, linear.bias());
  });
  decoder.visit_parameters(
      [&](Parameter& parameter) { add(parameter.source.tensor, parameter.value); });

  const c10::AutoGradMode with_grad(true);
  const SequenceContext context = decoder.context(ids.size(1));
  at::Tensor x = decoder.embedding_forward(ids);
  for (int64_t layer = 0; layer < decoder.spec().num_layers; ++layer) {
    x = decoder.block_forward(layer, x, context);
  }
  const at::Tensor loss = loss_of(decoder.head_forward(decoder.tail_forward(x)), ids);
  const std::vector<at::Tensor> found = gradients({loss}, {at::ones_like(loss)}, leaves);

  std::map<std::string, double> norms;
  for (size_t i = 0; i < leaves.size(); ++i) {
    leaves[i].set_requires_grad(false);
    // Parts of one stored tensor (fused q, k, v) add up to its norm.
    REQUIRE(found[i].defined());
    const double norm = at::linalg_vector_norm(found[i].to(at::kDouble)).item<double>();
    norms[names[i]] = std::hypot(norms[names[i]], norm);
  }
  return norms;
}

}  // namespace littlebit
