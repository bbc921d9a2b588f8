// Sign matrices against their ATen twin, the layer against the textbook formula, factor files in
// and out.
#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <c10/core/GradMode.h>

#include <catch2/catch.hpp>

#include "littlebit/core/error.h"
#include "littlebit/io/safetensors_writer.h"
#include "littlebit/nn/tensor_io.h"
#include "littlebit/ops/expand_signs.h"
#include "littlebit/ops/update_signs.h"
#include "littlebit/quant/factor_file.h"
#include "littlebit/quant/initialize.h"
#include "littlebit/quant/student.h"
#include "support/loaded_model.h"
#include "support/tiny_model.h"

using namespace littlebit;

namespace {

const auto kF32 = at::TensorOptions().dtype(at::kFloat);

FactorPath random_path(int64_t d_out, int64_t r, int64_t d_in) {
  return {at::randn({d_out, r}), at::randn({r, d_in}), at::randn({d_out}),
          at::randn({r}),        at::randn({r}),       at::randn({d_in})};
}

LayerPlan plan_of(const LinearSlot& slot, int64_t rank, int paths) {
  return {.name = slot.name, .d_in = slot.d_in, .d_out = slot.d_out, .rank = rank, .paths = paths};
}

}  // namespace

TEST_CASE("expansion equals its plain ATen twin in every dtype, with and without scales") {
  at::manual_seed(1);
  for (const auto& [rows, cols] :
       {std::pair<int64_t, int64_t>{7, 33}, {64, 128}, {1, 1}, {300, 700}}) {
    const int64_t first = 128;
    const int64_t padded = (rows * cols + 127) / 128 * 128 + first;
    const at::Tensor latents = at::randn({padded});
    const at::Tensor words = at::zeros({padded / 32}, kF32.dtype(at::kInt));
    const at::Tensor flips = at::zeros({1}, kF32.dtype(at::kLong));
    update_signs(latents, words, flips);
    CHECK(flips.item<int64_t>() == latents.lt(0).sum().item<int64_t>());
    update_signs(latents, words, flips);  // adds nothing: they are there already
    CHECK(flips.item<int64_t>() == latents.lt(0).sum().item<int64_t>());
    const SignMatrix signs(words, first, rows, cols);
    for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
      const at::Tensor plain = expand_reference(words, first, rows, cols, dtype);
      CHECK(at::equal(
          plain,
          latents.narrow(0, first, rows * cols).view({rows, cols}).ge(0).mul(2).sub(1).to(dtype)));
      const at::Tensor row = at::randn({rows}).to(dtype), column = at::randn({cols}).to(dtype);
      const at::Tensor wide = at::empty({rows, cols + 5}, kF32.dtype(dtype));
      const at::Tensor out = wide.narrow(1, 3, cols);
      signs.expand_into(out, {}, {});
      CHECK(at::equal(out, plain));
      signs.expand_into(out, row, {});
      CHECK(at::equal(out, plain * row.unsqueeze(1)));
      signs.expand_into(out, {}, column);
      CHECK(at::equal(out, plain * column));
    }
    SignMatrix back(at::zeros_like(words), first, rows, cols);
    back.set_from_padded_words(signs.padded_words());
    CHECK(at::equal(back.padded_words(), signs.padded_words()));
  }
}

TEST_CASE(
    "padded words are the authors' packing: least significant bit first, 1 is -1, padding 0") {
  const at::Tensor latents = at::ones({128});
  latents[0] = -1;
  latents[39] = -0.5;  // row 0, column 39
  latents[40] = -2;    // row 1, column 0
  const at::Tensor words = at::zeros({4}, kF32.dtype(at::kInt));
  update_signs(latents, words);
  const at::Tensor padded = SignMatrix(words, 0, 2, 40).padded_words();
  CHECK(padded.sizes() == at::IntArrayRef({2, 2}));
  CHECK(padded[0][0].item<int>() == 1);
  CHECK(padded[0][1].item<int>() == 1 << 7);
  CHECK(padded[1][0].item<int>() == 1);
  CHECK(padded[1][1].item<int>() == 0);
}

TEST_CASE("a student's layer computes y = ((((x v2) sign(V)^T) (v1 u2)) sign(U)^T) u1 + bias") {
  at::manual_seed(2);
  TempFolder temp;
  test::write_tiny_llama(temp.path(), {.biases = true});
  const test::LoadedModel model(temp.path());
  for (const int paths : {1, 2}) {
    Decoder shape = open_decoder(model.decoder);
    std::vector<LayerPlan> plans;
    shape.visit_linears([&](LinearSlot& slot) { plans.push_back(plan_of(slot, 16, paths)); });
    Student student(std::move(shape), plans);
    StudentGroup& group = student.groups()[1];

    LayerFactors factors;
    for (int p = 0; p < paths; ++p)
      factors.paths.push_back(random_path(plans[1].d_out, 16, plans[1].d_in));
    const at::Tensor bias = at::randn({plans[1].d_out});
    group.set_layer(1, factors, bias);
    const at::Tensor x = at::randn({3, 5, plans[1].d_in});
    at::Tensor want = bias.expand({3, 5, plans[1].d_out});
    at::Tensor weight = at::zeros({plans[1].d_out, plans[1].d_in});
    for (const FactorPath& f : factors.paths) {
      const auto sign = [](const at::Tensor& t) { return t.ge(0).to(at::kFloat).mul(2).sub(1); };
      want = want +
             at::matmul(at::matmul(x * f.v2, sign(f.V).t()) * (f.v1 * f.u2), sign(f.U).t()) * f.u1;
      weight += effective_weight(f);
    }
    c10::NoGradGuard no_grad;
    CHECK(at::allclose(group.layers()[1]->forward(x), want, 1e-4, 1e-4));
    group.materialize(false);
    CHECK(at::allclose(group.layers()[1]->forward(x), want, 1e-4, 1e-4));
    group.release();
    CHECK(at::allclose(group.layers()[1]->effective_weight(), weight, 1e-4, 1e-4));
  }
}

TEST_CASE("a group's factors are expanded by one operation, to what each is by itself") {
  const TempFolder folder;
  test::write_tiny_llama(folder.path(), {.biases = true});
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kDouble}) {
    test::LoadedModel teacher(folder.path(), dtype);
    Decoder open = open_decoder(teacher.decoder);
    std::vector<LayerPlan> plans;
    int64_t rank = 5;
    open.visit_linears([&](LinearSlot& slot) { plans.push_back(plan_of(slot, rank++, 2)); });
    Student student(std::move(open), plans);
    at::manual_seed(3);
    static int operations = 0;
    const auto count = [](const at::RecordFunction& function) {
      operations += std::string(function.name()) == "littlebit::expand_sign_matrices" ? 1 : 0;
      return std::unique_ptr<at::ObserverContext>();
    };
    const auto counting = at::addThreadLocalCallback(at::RecordFunctionCallback(count));
    for (StudentGroup& group : student.groups()) {
      group.bits().random_(INT32_MIN, INT32_MAX);
      group.vectors().normal_();
      operations = 0;
      group.materialize(true);
      // In fp32 there may be no such matrices (ops/scaled_product.h).
      const bool expands =
          !group.layers().empty() && group.layers()[0]->weights().w1.stride(0) != 0;
      CHECK((expands || group.layers().empty() || dtype == at::kFloat));
      CHECK(operations == (expands ? 1 : 0));
      if (!expands) continue;
      for (const LittleBitLinear* layer : group.layers()) {
        const LittleBitLinear::Weights& weights = layer->weights();
        CHECK(weights.w1.requires_grad());
        const int64_t r = layer->rank();
        for (int64_t p = 0; p < 2; ++p) {
          const SignPath& path = layer->paths()[p];
          const at::Tensor v = at::empty({r, layer->in_features()}, weights.w1.options());
          const at::Tensor u = at::empty({layer->out_features(), r}, weights.w1.options());
          path.V.expand_into(v, {}, path.v2.to(dtype));
          path.U.expand_into(u, path.u1.to(dtype), {});
          CHECK(at::equal(weights.w1.detach().narrow(0, p * r, r), v));
          CHECK(at::equal(weights.w2.detach().narrow(1, p * r, r), u));
          CHECK(at::equal(weights.l.detach().narrow(0, p * r, r), (path.v1 * path.u2).to(dtype)));
        }
      }
      group.release();
    }
    at::removeCallback(counting);
  }
}

TEST_CASE(
    "factor files: packed signs become sign * |u1| |u2|^T, unpacked factors stay, mistakes are "
    "named") {
  at::manual_seed(3);
  TempFolder temp;
  const FactorPath f = random_path(20, 8, 40);
  const auto write = [&](const std::string& file,
                         const std::vector<std::pair<std::string, at::Tensor>>& tensors) {
    SafetensorsWriter writer(temp.path() / file);
    for (const auto& [name, tensor] : tensors) {
      writer.declare(name, dtype_of(tensor.scalar_type()), tensor.sizes().vec());
    }
    for (const auto& [name, tensor] : tensors) write_tensor(writer, tensor);
    writer.commit();
  };
  const auto packed = [](const at::Tensor& latents) {
    const at::Tensor flat = at::zeros({(latents.numel() + 31) / 32 * 32});
    flat.narrow(0, 0, latents.numel()).copy_(latents.reshape({-1}));
    const at::Tensor words = at::zeros({flat.numel() / 32}, kF32.dtype(at::kInt));
    update_signs(flat, words);
    return SignMatrix(words, 0, latents.size(0), latents.size(1)).padded_words();
  };
  const auto shape = [](int64_t a, int64_t b) { return at::tensor({a, b}, kF32.dtype(at::kLong)); };
  const std::vector<std::pair<std::string, at::Tensor>> good = {
      {"l.U_packed", packed(f.U)},  {"l.U_shape", shape(20, 8)},  {"l.V_packed", packed(f.V)},
      {"l.V_shape", shape(8, 40)},  {"l.u1", f.u1.view({1, -1})}, {"l.u2", f.u2.view({1, -1})},
      {"l.v1", f.v1.view({1, -1})}, {"l.v2", f.v2.view({1, -1})}};
  write("packed.safetensors", good);
  const FactorFile file(temp.path() / "packed.safetensors");
  CHECK(file.has_layer("l"));
  CHECK_FALSE(file.has_layer("m"));
  const LayerPlan plan = file.plan("l", 40, 20);
  CHECK(plan.rank == 8);
  CHECK(plan.paths == 1);
  const FactorPath got = file.load(plan, at::kFloat).paths.at(0);
  CHECK(at::equal(got.U.lt(0), f.U.lt(0)));
  CHECK(at::allclose(got.U.abs(), at::outer(f.u1.abs(), f.u2.abs())));
  CHECK(at::allclose(got.V.abs(), at::outer(f.v1.abs(), f.v2.abs())));
  CHECK(at::equal(got.u1, f.u1));

  write(
      "latents.safetensors",
      {{"l.U", f.U}, {"l.V", f.V}, {"l.u1", f.u1}, {"l.u2", f.u2}, {"l.v1", f.v1}, {"l.v2", f.v2}});
  const FactorFile latents(temp.path() / "latents.safetensors");
  CHECK(at::equal(latents.load(latents.plan("l", 40, 20), at::kFloat).paths[0].U, f.U));

  CHECK_THROWS_AS(file.plan("l", 41, 20), InputError);
  auto bad = good;
  bad[1].second = shape(20, 9);
  write("bad.safetensors", bad);
  CHECK_THROWS_AS(FactorFile(temp.path() / "bad.safetensors").plan("l", 40, 20), InputError);
  bad = good;
  bad.pop_back();
  write("missing.safetensors", bad);
  CHECK_THROWS_AS(FactorFile(temp.path() / "missing.safetensors").plan("l", 40, 20), InputError);
  bad = good;
  bad[4].second = bad[4].second.clone();
  bad[4].second[0][3] = std::numeric_limits<float>::quiet_NaN();
  write("nan.safetensors", bad);
  const FactorFile nan(temp.path() / "nan.safetensors");
  CHECK_THROWS_AS(nan.load(nan.plan("l", 40, 20), at::kFloat), InputError);
}
