// The packed export against the format's description, read back by plain loops.
#include "littlebit/export/packed.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/fault_hook.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/write_file.h"
#include "littlebit/export/folder.h"
#include "littlebit/export/load_packed.h"
#include "littlebit/models/forward.h"
#include "littlebit/nn/tensor_io.h"
#include "littlebit/quant/packed_linear.h"
#include "support/loaded_model.h"
#include "support/tiny_student.h"
#include "unit/io/expect_error.h"

using namespace littlebit;
using littlebit::test::expect_error;
using littlebit::test::TinyStudent;

namespace {

namespace fs = std::filesystem;

struct Case {
  bool tied, biases, residual;
};
const Case kCases[] = {{false, false, true}, {true, false, false}, {false, true, true}};

struct Exported {
  TempFolder temp;
  TinyStudent tiny;
  fs::path folder = temp.path() / "packed";
  PackedExport report;

  explicit Exported(const Case& c)
      : tiny((write_teacher(temp.path() / "teacher", c), temp.path() / "teacher"), c.residual) {
    report = export_packed(folder, *tiny.student, tiny.plans, tiny.options, tiny.files);
  }
  // Where the first tensor's data begins in the file.
  size_t header_bytes() const {
    uint64_t length = 0;
    std::memcpy(&length, read_file(folder / "model.safetensors").data(), sizeof length);
    return sizeof length + length;
  }
  static void write_teacher(const fs::path& path, const Case& c) {
    create_folders(path);
    test::write_tiny_llama(path, {.tied = c.tied, .biases = c.biases, .intermediate = 41});
    write_file(path / "tokenizer.model", std::string("\x00\xff any bytes", 12));
    write_file(path / "merges.txt", "a b\r\n");
    write_file(path / "chat_template.jinja", "{{ messages }}");
    write_file(path / "notes.txt", "not a part of the model");
  }
};

// Signs of a packed matrix as the format says: bit i of a word is column 32 w + i, 1 is -1.
at::Tensor unpacked(const TensorView& words, const TensorView& shape) {
  const at::Tensor size = map_tensor(shape);
  const int64_t rows = size[0].item<int64_t>(), cols = size[1].item<int64_t>();
  const at::Tensor packed = map_tensor(words);
  REQUIRE(packed.sizes() == at::IntArrayRef({rows, (cols + 31) / 32}));
  at::Tensor signs = at::empty({rows, cols});
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < packed.size(1) * 32; ++c) {
      const auto word = static_cast<uint32_t>(packed[r][c / 32].item<int32_t>());
      const bool minus = (word >> (c % 32) & 1) != 0;
      if (c < cols) {
        signs[r][c] = minus ? -1.f : 1.f;
      } else {
        CHECK_FALSE(minus);  // padding
      }
    }
  }
  return signs;
}

at::Tensor signs_of(const SignMatrix& matrix) {
  at::Tensor signs = at::empty({matrix.rows(), matrix.cols()});
  matrix.expand_into(signs, {}, {});
  return signs;
}

bool holds(const SafetensorsFile& file, const std::string& name, const at::Tensor& value,
           const std::vector<int64_t>& shape) {
  const TensorView* view = file.find(name);
  INFO(name);
  REQUIRE(view != nullptr);
  CHECK(view->dtype == Dtype::kBF16);
  CHECK(view->shape == shape);
  return at::equal(map_tensor(*view).reshape({-1}), value.detach().to(at::kBFloat16).reshape({-1}));
}

}  // namespace

TEST_CASE("every tensor of the packed folder is the student's, rounded to its stored type") {
  const Case c = GENERATE(from_range(std::begin(kCases), std::end(kCases)));
  const Exported made(c);
  const SafetensorsFile file(made.folder / "model.safetensors");
  const Decoder& decoder = made.tiny.student->decoder();
  size_t tensors = 0, plan = 0;
  const auto check = [&](const std::string& name, const at::Tensor& value,
                         const std::vector<int64_t>& shape) {
    CHECK(holds(file, name, value, shape));
    ++tensors;
  };

  for (const StudentGroup& group : made.tiny.student->groups()) {
    for (const LittleBitLinear* layer : group.layers()) {
      const std::string p = layer->name() + ".";
      for (size_t i = 0; i < layer->paths().size(); ++i) {
        const SignPath& path = layer->paths()[i];
        const std::string r = i == 0 ? "" : "_R";
        const auto factor = [&](const std::string& name, const SignMatrix& signs) {
          REQUIRE(file.find(p + name + r + "_packed") != nullptr);
          REQUIRE(file.find(p + name + r + "_shape")->dtype == Dtype::kI64);
          CHECK(at::equal(
              unpacked(*file.find(p + name + r + "_packed"), *file.find(p + name + r + "_shape")),
              signs_of(signs)));
          tensors += 2;
        };
        factor("U", path.U);
        factor("V", path.V);
        check(p + "u1" + r, path.u1, {1, layer->out_features()});
        check(p + "u2" + r, path.u2, {1, layer->rank()});
        check(p + "v1" + r, path.v1, {1, layer->rank()});
        check(p + "v2" + r, path.v2, {1, layer->in_features()});
      }
      if (c.biases) check(p + "bias", layer->bias(), {layer->out_features()});
      check(p + "_eff_bit_target", at::scalar_tensor(4.0), {});
      check(p + "_eff_bit_actual", at::scalar_tensor(made.tiny.plans[plan].effective_bits()), {});
      CHECK(map_tensor(*file.find(p + "_split_dim_final")).item<int64_t>() == layer->rank());
      CHECK(file.find(p + "_split_dim_final")->shape.empty());
      ++tensors;
      ++plan;
    }
  }
  const int64_t hidden = decoder.spec().hidden_size, vocabulary = decoder.spec().vocab_size;
  for (const Block& block : decoder.parts().blocks) {
    check(block.input_norm.weight.name, block.input_norm.weight.value, {hidden});
    check(block.pre_mlp_norm.weight.name, block.pre_mlp_norm.weight.value, {hidden});
  }
  check("model.norm.weight", decoder.parts().tail.final_norm.weight.value, {hidden});
  check("model.embed_tokens.weight", decoder.frozen().embedding, {vocabulary, hidden});
  check("lm_head.weight", dense_weight(decoder.head()), {vocabulary, hidden});  // tied or not
  CHECK(file.tensors().size() == tensors);
  CHECK(file.metadata().at("format") == "pt");
  for (const TensorView& view : file.tensors()) {
    CHECK(reinterpret_cast<uintptr_t>(view.data.data()) % dtype_size(view.dtype) == 0);
  }
  CHECK(verify_packed(made.folder, *made.tiny.student, made.tiny.plans) ==
        static_cast<int64_t>(tensors));
}

TEST_CASE("the settings stand in littlebit_config.json and again in config.json") {
  const Exported made({.tied = true, .biases = false, .residual = true});
  const Json quant = read_json_file(made.folder / "littlebit_config.json");
  const Json expected = {{"quant_func", "SmoothSign"},
                         {"eff_bit", 4.0},
                         {"split_dim", 1024},
                         {"residual", true},
                         {"kv_factor", 0.5},
                         {"min_split_dim", 8},
                         {"quant_mod", "LittleBitLinear"}};
  CHECK(quant == expected);
  Json config = read_json_file(made.temp.path() / "teacher" / "config.json");
  config.update(expected);
  config["torch_dtype"] = "bfloat16";
  CHECK(read_json_file(made.folder / "config.json") == config);

  const auto same = [&](const char* name) {
    return read_file(made.folder / name) == read_file(made.temp.path() / "teacher" / name);
  };
  CHECK(same("tokenizer.model"));
  CHECK(same("merges.txt"));
  CHECK(same("chat_template.jinja"));
  CHECK_FALSE(fs::exists(made.folder / "notes.txt"));
  CHECK_FALSE(fs::exists(made.temp.path() / "packed.partial"));
}

TEST_CASE("other settings: straight-through surrogate, one path, factors from a file") {
  TempFolder temp;
  test::write_tiny_llama(temp.path());
  TinyStudent tiny(temp.path(), /*residual=*/false);
  tiny.options.surrogate = Surrogate::kSte;
  tiny.options.init = "file";  // its ranks are the file's, not those of 4 bits
  const PackedExport report =
      export_packed(temp.path() / "packed", *tiny.student, tiny.plans, tiny.options, tiny.files);
  const Json quant = read_json_file(temp.path() / "packed" / "littlebit_config.json");
  CHECK(quant["quant_func"] == "STEBinary");
  CHECK(quant["residual"] == false);
  CHECK(quant["eff_bit"].get<double>() == Approx(report.formula_bits).epsilon(1e-12));
  CHECK(verify_packed(temp.path() / "packed", *tiny.student, tiny.plans) > 0);
}

TEST_CASE("bytes by part add up to the file, bits per weight to the parts") {
  const Exported made({.tied = false, .biases = true, .residual = true});
  const ByteTable& bytes = made.report.bytes;
  CHECK(bytes.total() == fs::file_size(made.folder / "model.safetensors"));
  // By hand: hidden 32, inner 41, key/value width 16, vocabulary 48, two layers.
  CHECK(bytes.embeddings == 48 * 32 * 2);
  CHECK(bytes.head == 48 * 32 * 2);
  CHECK(bytes.norms == 5 * 32 * 2);
  CHECK(bytes.biases == 2 * 2 * (32 + 16 + 16 + 32 + 41 + 41 + 32));
  CHECK(bytes.linears == 0);
  uint64_t signs = 0, scales = 0;
  double weights = 0, formula = 0;
  for (const LayerPlan& plan : made.tiny.plans) {
    const auto words = [](int64_t n) { return static_cast<uint64_t>((n + 31) / 32); };
    const auto a = plan.d_in, b = plan.d_out, r = plan.rank;
    signs += 2 * 4 * (b * words(r) + r * words(a));
    scales += 2 * 2 * (a + b + 2 * r);
    weights += static_cast<double>(a * b);
    formula += static_cast<double>(2 * r * (a + b + 16) + 32 * (a + b));
  }
  CHECK(bytes.signs == signs);
  CHECK(bytes.scales == scales);
  CHECK(made.report.formula_bits == Approx(formula / weights).epsilon(1e-12));
  CHECK(made.report.stored_bits ==
        Approx(8.0 * static_cast<double>(signs + scales + bytes.biases) / weights).epsilon(1e-12));
  const ByteTable& teacher = made.report.teacher_bytes;
  CHECK(teacher.linears == 4 * static_cast<uint64_t>(weights));
  CHECK(teacher.biases == 2 * bytes.biases);
  CHECK(teacher.norms == 2 * bytes.norms);
  CHECK(teacher.embeddings == 2 * bytes.embeddings);
  CHECK(teacher.head == 2 * bytes.head);
  CHECK(teacher.other + teacher.signs + teacher.scales == 0);
}

TEST_CASE("a packed folder comes back as the rounded student, bit for bit") {
  const Case c = GENERATE(from_range(std::begin(kCases), std::end(kCases)));
  Exported made(c);
  HfFolder files = test::open_folder(made.folder);
  CHECK(is_packed_folder(files));
  CHECK_FALSE(is_packed_folder(made.tiny.files));
  Decoder loaded = load_packed(files, at::kFloat, at::kCPU);
  CHECK(files.unused().empty());

  made.tiny.round_to_bf16();
  const auto same_signs = [](const PackedSigns& got, const SignMatrix& want) {
    at::Tensor a = at::empty({got.rows(), got.cols()}), b = at::empty({want.rows(), want.cols()});
    got.expand_into(a, 0, {}, {});
    want.expand_into(b, {}, {});
    return at::equal(a, b);
  };
  for (int64_t g = 0; g < loaded.num_groups(); ++g) {
    const StudentGroup& group = made.tiny.student->groups()[g];
    size_t next = 0;
    loaded.visit_linears(g, [&](LinearSlot& slot) {
      const auto& got = dynamic_cast<const PackedLinear&>(*slot.linear);
      const LittleBitLinear& want = *group.layers()[next++];
      REQUIRE(got.paths().size() == want.paths().size());
      for (size_t p = 0; p < want.paths().size(); ++p) {
        const PackedPath& path = got.paths()[p];
        const SignPath& from = want.paths()[p];
        CHECK(same_signs(path.U, from.U));
        CHECK(same_signs(path.V, from.V));
        CHECK(at::equal(path.h, from.u1));
        CHECK(at::equal(path.l, from.v1 * from.u2));
        CHECK(at::equal(path.g, from.v2));
      }
      REQUIRE(got.bias().defined() == want.bias().defined());
      if (want.bias().defined()) CHECK(at::equal(got.bias(), want.bias()));
    });
    CHECK(next == group.layers().size());
  }
  const at::Tensor ids = at::randint(48, {2, 9}, at::kLong);
  const at::Tensor got = forward_full(loaded, ids, false).logits;
  const at::Tensor want = forward_full(made.tiny.student->decoder(), ids, false).logits;
  // Biases are added at another time.
  CHECK(at::allclose(got, want, 1e-5, 2e-6 * want.abs().max().item<double>()));
}

TEST_CASE("what differs from the student is found and named") {
  const Exported made({.tied = false, .biases = false, .residual = true});
  const auto check = [&](const std::vector<std::string>& words) {
    expect_error(ExitCode::kInput, words,
                 [&] { verify_packed(made.folder, *made.tiny.student, made.tiny.plans); });
  };
  const fs::path path = made.folder / "model.safetensors";
  const std::string bytes = read_file(path);
  {
    const SafetensorsFile file(path);
    const auto first_byte = [&](const std::string& name) { return file.find(name)->data.data(); };
    const auto offset = first_byte("model.layers.1.mlp.up_proj.v1_R") -
                        file.tensors()[0].data.data() + made.header_bytes();
    std::string changed = bytes;
    changed[offset] = static_cast<char>(changed[offset] ^ 1);
    write_file(path, changed);
  }
  check({"model.layers.1.mlp.up_proj.v1_R", "differs"});
  write_file(path, bytes);
  write_file(made.folder / "littlebit_config.json", "{\"eff_bit\": 3.5}");
  check({"model.layers.0.self_attn.q_proj._eff_bit_target"});
}

TEST_CASE("what a person laid into an export outlives the next one") {
  Exported exported(kCases[0]);
  write_file(exported.folder / "scores.json", "{}");
  create_folders(exported.folder / "notes");
  write_file(exported.folder / "notes" / "a.txt", "mine");
  write_file(exported.folder / "tokenizer.json", "of another teacher");  // a file of ours: goes
  export_packed(exported.folder, *exported.tiny.student, exported.tiny.plans, exported.tiny.options,
                exported.tiny.files);
  CHECK(read_file(exported.folder / "scores.json") == "{}");
  CHECK(read_file(exported.folder / "notes" / "a.txt") == "mine");
  CHECK_FALSE(fs::exists(exported.folder / "tokenizer.json"));
  CHECK_FALSE(fs::exists(exported.temp.path() / "packed.partial"));
}

TEST_CASE("a folder that cannot be written leaves the older one as it was") {
  Exported made({.tied = false, .biases = false, .residual = true});
  const std::string before = read_file(made.folder / "model.safetensors");
  const auto export_to = [&](const fs::path& folder) {
    export_packed(folder, *made.tiny.student, made.tiny.plans, made.tiny.options, made.tiny.files);
  };
  made.tiny.round_to_bf16();
  set_fault_hook([](std::string_view operation, const fs::path& path) {
    return operation == "write" && path.string().find("model.safetensors") != std::string::npos
               ? ENOSPC
               : 0;
  });
  expect_error(ExitCode::kOutput, {"model.safetensors"}, [&] { export_to(made.folder); });
  set_fault_hook(nullptr);
  CHECK(read_file(made.folder / "model.safetensors") == before);
  CHECK_FALSE(fs::exists(made.temp.path() / "packed.partial"));

  expect_error(ExitCode::kOutput, {}, [&] { export_to(made.folder / "config.json" / "packed"); });
  export_to(made.folder);  // replaces the older one
  CHECK(verify_packed(made.folder, *made.tiny.student, made.tiny.plans) > 0);
}
