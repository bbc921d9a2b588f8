// Folders as the authors' packer writes them, and damaged ones.
#include "littlebit/export/load_packed.h"

#include <catch2/catch.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/write_file.h"
#include "littlebit/models/forward.h"
#include "littlebit/ops/expand_signs.h"
#include "littlebit/quant/packed_linear.h"
#include "support/authors_folder.h"
#include "support/loaded_model.h"
#include "support/tiny_model.h"
#include "unit/io/expect_error.h"

using namespace littlebit;
using littlebit::test::AuthorsFolder;
using littlebit::test::AuthorsOptions;
using littlebit::test::expect_error;

namespace {

namespace fs = std::filesystem;

struct Loaded {
  HfFolder files;
  Decoder decoder;
  explicit Loaded(const fs::path& folder)
      : files(test::open_folder(folder)), decoder(load_packed(files, at::kFloat, at::kCPU)) {}
};

at::Tensor signs_of(const PackedSigns& signs) {
  at::Tensor out = at::empty({signs.rows(), signs.cols()}, at::kDouble);
  signs.expand_into(out, 0, {}, {});
  return out;
}

struct AuthorsCase {
  test::TinyOptions teacher;
  AuthorsOptions form;
};

}  // namespace

TEST_CASE("a folder of the authors' packer computes what its signs and scales say") {
  const AuthorsCase cases[] = {
      {{.tied = true}, {}},
      {{.biases = true}, {.residual = false, .shards = false}},
      {{.tied = true}, {.model_prefix = false, .rank = 16}},
      {{.biases = true}, {.packed = false}},
  };
  const AuthorsCase& c = cases[GENERATE(0, 1, 2, 3)];
  TempFolder temp;
  const fs::path teacher = temp.path() / "teacher";
  create_folders(teacher);
  test::write_tiny_llama(teacher, c.teacher);
  const AuthorsFolder authors(teacher, c.form);
  authors.write(temp.path() / "packed");
  authors.write_dense(temp.path() / "dense");

  Loaded loaded(temp.path() / "packed");
  CHECK(is_packed_folder(loaded.files));
  const at::Tensor ids = at::randint(48, {2, 12}, at::kLong);
  const at::Tensor got = forward_full(loaded.decoder, ids, false).logits;
  const at::Tensor want =
      forward_full(test::LoadedModel(temp.path() / "dense").decoder, ids, false).logits;
  CHECK(want.std().item<double>() > 0.1);
  // fp32 products in another order: through the latent dimension, or one effective matrix.
  CHECK(at::allclose(got, want, 1e-4, 1e-4));
  // A zero scale keeps the signs beside it.
  loaded.decoder.visit_linears([&](LinearSlot& slot) {
    const auto& layer = dynamic_cast<const PackedLinear&>(*slot.linear);
    at::Tensor effective = at::zeros({slot.d_out, slot.d_in}, at::kDouble);
    for (const PackedPath& path : layer.paths()) {
      const at::Tensor u = signs_of(path.U), v = signs_of(path.V);
      effective += at::matmul(u * path.h.unsqueeze(1) * path.l, v * path.g);
    }
    CHECK(at::allclose(effective, authors.effective.at(slot.name + ".weight"), 1e-5, 1e-6));
    if (!c.form.packed) return;
    const PackedSigns& v = layer.paths().back().V;
    const at::Tensor& words =
        authors.tensors.at(slot.name + (layer.paths().size() == 2 ? ".V_R_packed" : ".V_packed"));
    const at::Tensor signs =
        expand_reference(words.flatten(), 0, v.rows(), words.size(1) * 32, at::kDouble);
    CHECK(at::equal(signs_of(v), signs.narrow(1, 0, v.cols())));
  });
  // A tied head stands in the file too; its copy is known and not needed.
  for (const std::string& name : loaded.files.unused()) FAIL_CHECK(name + " was not accounted for");
}

TEST_CASE("what is missing or misshapen in a packed folder is named") {
  TempFolder temp;
  const fs::path teacher = temp.path() / "teacher", folder = temp.path() / "packed";
  create_folders(teacher);
  test::write_tiny_llama(teacher, {.biases = true});
  AuthorsFolder authors(teacher, {.shards = false});
  const std::string layer = "model.layers.1.mlp.down_proj";
  std::vector<std::string> words;
  bool says_residual = true;

  SECTION("a layer") {
    authors.tensors.erase(layer + ".U_packed");
    words = {"packed", "1 linear layer(s)", layer};
  }
  SECTION("a scale") {
    authors.tensors.erase(layer + ".v2_R");
    words = {layer + ".v2_R"};
  }
  SECTION("the second path of one layer") {
    std::erase_if(authors.tensors, [&](const auto& entry) {
      return entry.first.starts_with(layer) && entry.first.find("_R") != std::string::npos;
    });
    words = {"no tensor " + layer + ".U_R_packed", "packed"};
  }
  SECTION("all second paths") {
    std::erase_if(authors.tensors,
                  [&](const auto& entry) { return entry.first.find("_R") != std::string::npos; });
    words = {"no tensor model.layers.0.", ".U_R_packed"};
  }
  SECTION("all of a second path but one scale, where no JSON tells of it") {
    std::erase_if(authors.tensors, [&](const auto& entry) {
      return entry.first.starts_with(layer) && entry.first.find("_R") != std::string::npos &&
             entry.first != layer + ".v1_R";
    });
    says_residual = false;
    words = {"no tensor " + layer + ".U_R_packed"};
  }
  SECTION("a scale of integers") {
    authors.tensors[layer + ".u2"] = authors.tensors[layer + ".u2"].to(at::kInt);
    words = {layer + ".u2", "I32", "floating"};
  }
  SECTION("a shape") {
    authors.tensors.erase(layer + ".V_shape");
    words = {layer + ".V_shape"};
  }
  SECTION("a bias") {
    authors.tensors.erase(layer + ".bias");
    words = {layer + ".bias", "missing"};
  }
  SECTION("a bias of another size") {
    authors.tensors[layer + ".bias"] = at::zeros({3}, at::kBFloat16);
    words = {layer + ".bias", "[3]", "32"};
  }
  SECTION("a norm") {
    authors.tensors.erase("model.norm.weight");
    words = {"model.norm.weight"};
  }
  SECTION("words") {
    authors.tensors[layer + ".U_packed"] = at::zeros({32, 2}, at::kInt);
    words = {layer + ".U_packed", "[32, 2]"};
  }
  SECTION("a rank that differs between the factors") {
    authors.tensors[layer + ".V_packed"] = at::zeros({16, 2}, at::kInt);
    authors.tensors[layer + ".V_shape"] = at::tensor({16, 40}, at::kLong);
    words = {layer, "[16, 40]"};
  }
  SECTION("numbers") {
    authors.tensors[layer + ".u1"][0][3] = std::numeric_limits<float>::quiet_NaN();
    words = {layer + ".u1", "NaN"};
  }
  authors.write(folder);
  if (!says_residual) {
    fs::remove(folder / "littlebit_config.json");
    fs::copy_file(teacher / "config.json", folder / "config.json",
                  fs::copy_options::overwrite_existing);
  }
  expect_error(ExitCode::kInput, words, [&] { Loaded loaded(folder); });
}
