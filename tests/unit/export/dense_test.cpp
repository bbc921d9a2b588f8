// The dense export: the teacher's tensors with effective weights in their place.
#include "littlebit/export/dense.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/write_file.h"
#include "littlebit/export/folder.h"
#include "littlebit/io/safetensors_writer.h"
#include "littlebit/models/forward.h"
#include "littlebit/nn/tensor_io.h"
#include "support/loaded_model.h"
#include "support/paths.h"
#include "support/tiny_student.h"
#include "unit/io/expect_error.h"

using namespace littlebit;
using littlebit::test::TinyStudent;

namespace {

namespace fs = std::filesystem;

std::vector<std::string> sorted_names(const SafetensorsFile& file) {
  std::vector<std::string> names;
  for (const TensorView& tensor : file.tensors()) names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  return names;
}

at::Tensor reloaded_logits(const fs::path& folder, const at::Tensor& ids) {
  return forward_full(test::LoadedModel(folder).decoder, ids, false).logits;
}

fs::path golden(const char* name) {
  return fs::path(littlebit::test::kSourceDir) / "tests" / "golden" / "models" / name;
}

}  // namespace

TEST_CASE("a dense export computes what the student computes") {
  struct Model {
    const char* fixture;  // nullptr: a tiny Llama
    bool tied, biases;
  };
  // phi3: q, k, v are rows of one matrix; sharded: several files become one.
  const Model models[] = {{nullptr, true, false},
                          {nullptr, false, true},
                          {"phi3_mini", false, false},
                          {"llama_sharded", false, false},
                          {"opt", false, false}};
  const Model& model = models[GENERATE(0, 1, 2, 3, 4)];
  INFO((model.fixture ? model.fixture : "tiny"));
  TempFolder temp;
  fs::path teacher = temp.path();
  if (model.fixture) {
    teacher = golden(model.fixture);
  } else {
    test::write_tiny_llama(teacher, {.tied = model.tied, .biases = model.biases});
  }
  const TinyStudent tiny(teacher);
  const fs::path folder = temp.path() / "dense";
  const ByteTable bytes = export_dense(folder, *tiny.student, at::kFloat, tiny.files);

  const SafetensorsFile file(folder / "model.safetensors");
  CHECK(sorted_names(file) == tiny.files.names());
  CHECK(bytes.total() == fs::file_size(folder / "model.safetensors"));
  uint64_t weights = 0;
  for (const LayerPlan& plan : tiny.plans) weights += static_cast<uint64_t>(plan.d_in * plan.d_out);
  CHECK(bytes.linears == 4 * weights);
  CHECK(bytes.signs + bytes.scales == 0);
  for (const TensorView& tensor : file.tensors()) {
    CHECK(tensor.dtype == Dtype::kF32);
    CHECK(tensor.shape == tiny.files.require(tensor.name).shape);
  }
  const at::Tensor ids = at::randint(4, 40, {2, 10}, at::kLong);
  const at::Tensor want = forward_full(tiny.student->decoder(), ids, false).logits;
  // fp32 products in another order: one effective matrix, or through the latent dimension.
  CHECK(at::allclose(reloaded_logits(folder, ids), want, 1e-3, 1e-3));
  Json config = read_json_file(teacher / "config.json");
  config["torch_dtype"] = "float32";
  CHECK(read_json_file(folder / "config.json") == config);
  CHECK_FALSE(fs::exists(folder / "littlebit_config.json"));
}

TEST_CASE("a dense export in bf16 holds the rounded effective weights, norms and biases") {
  TempFolder temp;
  test::write_tiny_llama(temp.path(), {.biases = true});
  const TinyStudent tiny(temp.path());
  const fs::path folder = temp.path() / "dense";
  const ByteTable bytes = export_dense(folder, *tiny.student, at::kBFloat16, tiny.files);
  const SafetensorsFile file(folder / "model.safetensors");
  const auto same = [&](const std::string& name, const at::Tensor& value) {
    const TensorView* view = file.find(name);
    REQUIRE(view != nullptr);
    CHECK(view->dtype == Dtype::kBF16);
    return at::equal(map_tensor(*view), value.detach().to(at::kBFloat16));
  };
  for (const StudentGroup& group : tiny.student->groups()) {
    for (const LittleBitLinear* layer : group.layers()) {
      CHECK(same(layer->name() + ".weight", layer->effective_weight()));
      CHECK(same(layer->name() + ".bias", layer->bias()));
    }
  }
  const Decoder& decoder = tiny.student->decoder();
  CHECK(same("model.norm.weight", decoder.parts().tail.final_norm.weight.value));
  CHECK(same("model.layers.1.input_layernorm.weight",
             decoder.parts().blocks[1].input_norm.weight.value));
  CHECK(same("model.embed_tokens.weight", decoder.frozen().embedding));
  CHECK(same("lm_head.weight", dense_weight(decoder.head())));
  CHECK(read_json_file(folder / "config.json").at("torch_dtype") == "bfloat16");
  CHECK(bytes.head == 48 * 32 * 2);
}

TEST_CASE("tensors that the decoder does not know are kept") {
  TempFolder temp;
  const fs::path plain = temp.path() / "plain", teacher = temp.path() / "teacher";
  create_folders(plain);
  create_folders(teacher);
  test::write_tiny_llama(plain, {.tied = true});
  fs::copy_file(plain / "config.json", teacher / "config.json");
  // Types that nothing here computes with.
  const std::pair<const char*, Dtype> odd[] = {
      {"u16", Dtype::kU16}, {"u32", Dtype::kU32}, {"u64", Dtype::kU64}, {"bool", Dtype::kBool}};
  std::byte bytes[48];
  for (size_t i = 0; i < sizeof bytes; ++i) bytes[i] = static_cast<std::byte>(251 * i);
  {
    // An old checkpoint of the bare decoder: no "model." in front, extra buffers, a copy of the
    // tied head.
    const SafetensorsFile from(plain / "model.safetensors");
    SafetensorsWriter writer(teacher / "model.safetensors");
    for (const TensorView& t : from.tensors()) writer.declare(t.name.substr(6), t.dtype, t.shape);
    writer.declare("lm_head.weight", Dtype::kF32, {48, 32});
    writer.declare("layers.0.self_attn.position_ids", Dtype::kI64, {3});
    for (const auto& [name, dtype] : odd) writer.declare(name, dtype, {2, 3});
    for (const TensorView& t : from.tensors()) writer.write(t.data);
    writer.write(from.find("model.embed_tokens.weight")->data);
    write_tensor(writer, at::tensor({7, 8, 9}, at::kLong));
    for (const auto& [name, dtype] : odd) writer.write(std::span(bytes, 6 * dtype_size(dtype)));
    writer.commit();
  }
  const TinyStudent tiny(teacher);
  const fs::path folder = temp.path() / "dense";
  const ByteTable table = export_dense(folder, *tiny.student, at::kBFloat16, tiny.files);
  const SafetensorsFile file(folder / "model.safetensors");
  CHECK(sorted_names(file) == tiny.files.names());
  const TensorView* buffer = file.find("layers.0.self_attn.position_ids");
  REQUIRE(buffer != nullptr);
  CHECK(at::equal(map_tensor(*buffer), at::tensor({7, 8, 9}, at::kLong)));
  for (const auto& [name, dtype] : odd) {
    INFO(name);
    const TensorView* kept = file.find(name);
    REQUIRE(kept != nullptr);
    CHECK(kept->dtype == dtype);
    CHECK(kept->shape == std::vector<int64_t>{2, 3});
    CHECK(std::equal(kept->data.begin(), kept->data.end(), bytes));
  }
  CHECK(table.head == 48 * 32 * 2);
  CHECK(table.embeddings == 48 * 32 * 2);
  CHECK(table.total() == fs::file_size(folder / "model.safetensors"));
  const at::Tensor ids = at::randint(48, {1, 5}, at::kLong);
  CHECK(at::allclose(reloaded_logits(folder, ids),
                     forward_full(tiny.student->decoder(), ids, false).logits, 0.1, 0.2));
}
