// The decoder as a structure: types, sharing, names, groups, and what its forward refuses.
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/zeros.h>

#include <catch2/catch.hpp>
#include <set>

#include "fixtures.h"
#include "littlebit/core/error.h"
#include "littlebit/models/architectures.h"
#include "littlebit/models/forward.h"

namespace littlebit {
namespace {

TEST_CASE("fp64 compute agrees with the fp32 fixtures") {
  for (const Fixture& fixture : fixtures()) {
    INFO(fixture.name);
    LoadedModel model(fixture.path(), at::kDouble);
    const ForwardResult got = forward_full(model.decoder, fixture.expected("input_ids"), true);
    CHECK(got.logits.scalar_type() == at::kDouble);
    CHECK(gap(got.logits, fixture.expected("logits"), fixture.tolerance.rtol).beyond_rtol <=
          fixture.tolerance.atol);
  }
}

TEST_CASE("bf16 compute stays near the fixtures") {
  for (const Fixture& fixture : fixtures()) {
    INFO(fixture.name);
    LoadedModel model(fixture.path(), at::kBFloat16);
    const ForwardResult got = forward_full(model.decoder, fixture.expected("input_ids"), true);
    CHECK(got.logits.scalar_type() == at::kFloat);
    CHECK(got.hidden_states.scalar_type() == at::kFloat);
    const at::Tensor want = fixture.expected("logits");
    const double error = at::linalg_vector_norm(got.logits - want).item<double>() /
                         at::linalg_vector_norm(want).item<double>();
    // 2^-9 per rounding, through up to seven blocks of random weights: 2 % was measured in the
    // deepest, 1.7 % in the next.
    CHECK(error < 0.03);
  }
}

TEST_CASE("weights of the compute type stay mapped") {
  LoadedModel model(fixture("llama_bf16").path(), at::kBFloat16);
  const auto& q = dynamic_cast<const DenseLinear&>(*model.decoder.parts().blocks[0].q.linear);
  CHECK(static_cast<const void*>(q.weight().const_data_ptr()) ==
        model.folder.require("model.layers.0.self_attn.q_proj.weight").data.data());
}

TEST_CASE("an open decoder shares frozen tensors, copies parameters and has no linear layers") {
  LoadedModel model(fixture("gemma3").path());
  Decoder student = open_decoder(model.decoder);
  CHECK(student.frozen().embedding.is_same(model.decoder.frozen().embedding));
  CHECK(student.head().linear == model.decoder.head().linear);
  CHECK(dense_weight(student.head()).is_same(student.frozen().embedding));
  student.visit_linears([](LinearSlot& slot) { CHECK(slot.linear == nullptr); });
  std::vector<at::Tensor> theirs;
  model.decoder.visit_parameters([&](Parameter& parameter) { theirs.push_back(parameter.value); });
  size_t next = 0;
  student.visit_parameters([&](Parameter& parameter) {
    CHECK(at::equal(parameter.value, theirs[next]));
    CHECK(parameter.value.const_data_ptr() != theirs[next++].const_data_ptr());
  });
  CHECK(next == theirs.size());
  CHECK(next == 4 * 6 + 1);
}

TEST_CASE("slots and parameters have unique names, sizes and sources") {
  for (const Fixture& fixture : fixtures()) {
    INFO(fixture.name);
    HfFolder folder(fixture.path());
    const ModelSpec spec = parse_model_spec(folder.config());
    Decoder decoder = empty_decoder(spec, at::kFloat, at::kCPU);
    std::set<std::string> names;
    size_t count = 0;
    decoder.visit_linears([&](LinearSlot& slot) {
      ++count;
      CHECK(slot.d_in > 0);
      CHECK_FALSE(slot.weight.tensor.empty());
      CHECK(slot.has_bias == !slot.bias.tensor.empty());
      CHECK(names.insert(slot.name).second);
    });
    decoder.visit_parameters([&](Parameter& parameter) {
      ++count;
      CHECK(parameter.size > 0);
      CHECK(names.insert(parameter.name).second);
    });
    CHECK(names.size() == count);
    CHECK(decoder.num_groups() == spec.num_layers + 2);
  }
}

TEST_CASE(
    "a decoder is its spec and its parts: the table of architectures is asked for names only") {
  ModelSpec spec = parse_model_spec(HfFolder(fixture("llama_gqa").path()).config());
  const std::string known = spec.model_type;
  spec.model_type = "of no table";
  CHECK_THROWS_AS(empty_decoder(spec, at::kFloat, at::kCPU), InputError);
  DecoderParts parts = open_parts(spec);
  parts.head.name = "some name";
  Decoder decoder(spec, std::move(parts), at::kFloat, at::kCPU);
  CHECK(decoder.head().name == "some name");
  const auto count = [](Decoder& of) {
    int64_t weights = 0;
    of.visit_linears([&](LinearSlot& slot) { weights += slot.d_in * slot.d_out; });
    return weights;
  };
  spec.model_type = known;
  Decoder named = empty_decoder(spec, at::kFloat, at::kCPU);
  CHECK(count(decoder) == count(named));
  int64_t parameters = 0;
  decoder.visit_parameters([&](Parameter&) { ++parameters; });
  CHECK(parameters == 0);  // which norms there are is the names' to say
  CHECK(decoder.parts().frozen_names.embedding.empty());
  CHECK_FALSE(named.parts().frozen_names.embedding.empty());
}

TEST_CASE("modules have the names that LittleBit's loader expects") {
  const auto names_of = [](const char* name) {
    LoadedModel model(fixture(name).path());
    std::vector<std::string> names;
    model.decoder.visit_linears(1, [&](LinearSlot& slot) { names.push_back(slot.name); });
    return names;
  };
  const std::string layer = "model.layers.0.";
  CHECK(names_of("llama_gqa") ==
        std::vector<std::string>{layer + "self_attn.q_proj", layer + "self_attn.k_proj",
                                 layer + "self_attn.v_proj", layer + "self_attn.o_proj",
                                 layer + "mlp.gate_proj", layer + "mlp.up_proj",
                                 layer + "mlp.down_proj"});
  CHECK(names_of("phi4") ==
        std::vector<std::string>{layer + "self_attn.q_proj", layer + "self_attn.k_proj",
                                 layer + "self_attn.v_proj", layer + "self_attn.o_proj",
                                 layer + "mlp.gate_up_proj", layer + "mlp.down_proj"});
  const std::string opt = "model.decoder.layers.0.";
  CHECK(names_of("opt_350m") ==
        std::vector<std::string>{opt + "self_attn.q_proj", opt + "self_attn.k_proj",
                                 opt + "self_attn.v_proj", opt + "self_attn.out_proj", opt + "fc1",
                                 opt + "fc2"});
  LoadedModel model(fixture("opt_350m").path());
  CHECK(model.decoder.parts().embedding.project_in.name == "model.decoder.project_in");
  CHECK(model.decoder.parts().tail.project_out.name == "model.decoder.project_out");
}

TEST_CASE("forward_full refuses ids that the model cannot take") {
  LoadedModel model(fixture("opt").path());  // 256 tokens, 64 positions
  const auto forward = [&](const at::Tensor& ids) {
    return forward_full(model.decoder, ids, false).logits;
  };
  const at::Tensor ids = at::arange(64).reshape({1, 64});
  CHECK(at::equal(forward(ids), forward(ids.to(at::kInt))));
  CHECK_THROWS_WITH(forward(at::arange(65).reshape({1, 65})), Catch::Contains("64 positions"));
  CHECK_THROWS_WITH(forward(ids + 200), Catch::Contains("0 to 255"));
  CHECK_THROWS_WITH(forward(ids - 1), Catch::Contains("-1"));
  CHECK_THROWS_AS(forward(ids.to(at::kFloat)), InputError);
  CHECK_THROWS_AS(forward(at::arange(4)), InputError);
  CHECK_THROWS_AS(forward(at::zeros({1, 0}, at::kLong)), InputError);
}

TEST_CASE("a sequence's logits do not depend on its neighbours in the batch") {
  for (const char* name : {"llama_gqa", "gemma2", "mistral_window"}) {
    const Fixture golden = fixture(name);
    LoadedModel model(golden.path());
    const at::Tensor ids = golden.expected("input_ids");
    const at::Tensor both = forward_full(model.decoder, ids, false).logits;
    const at::Tensor second = forward_full(model.decoder, ids.narrow(0, 1, 1), false).logits;
    CHECK(gap(second[0], both[1], 0).largest < 5e-6);  // other matrix shapes sum in another order
  }
}

}  // namespace
}  // namespace littlebit
