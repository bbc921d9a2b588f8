// The layout of OneCompression's plugin, read back by plain loops after its description.
#include "littlebit/export/dbf.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/write_file.h"
#include "littlebit/export/folder.h"
#include "littlebit/export/load_packed.h"
#include "littlebit/export/packed.h"
#include "littlebit/export/stored_rows.h"
#include "littlebit/models/forward.h"
#include "littlebit/nn/tensor_io.h"
#include "support/loaded_model.h"
#include "support/tiny_student.h"
#include "unit/io/expect_error.h"

using namespace littlebit;
using littlebit::test::expect_error;
using littlebit::test::TinyStudent;

namespace {

namespace fs = std::filesystem;

// The plugin's formula, in Python's arithmetic.
int64_t plugin_rank(double bits, int64_t d_in, int64_t d_out) {
  const double product = static_cast<double>(d_in * d_out);
  return std::min(std::min(d_in, d_out),
                  static_cast<int64_t>(bits * product / static_cast<double>(d_in + d_out)));
}

at::Tensor unpacked(const TensorView& view, int64_t rows, int64_t cols) {
  REQUIRE(view.dtype == Dtype::kU8);
  REQUIRE(view.shape == std::vector<int64_t>{(rows * cols + 7) / 8});
  at::Tensor signs = at::empty({rows, cols});
  auto out = signs.accessor<float, 2>();
  for (int64_t i = 0; i < view.shape[0] * 8; ++i) {
    const auto byte = static_cast<uint8_t>(view.data[static_cast<size_t>(i / 8)]);
    const bool plus = (byte >> (7 - i % 8) & 1) != 0;
    if (i < rows * cols) {
      out[i / cols][i % cols] = plus ? 1.F : -1.F;
    } else {
      CHECK(plus);  // padding
    }
  }
  return signs;
}

at::Tensor vector_of(const SafetensorsFile& file, const std::string& name, int64_t size) {
  REQUIRE(file.find(name) != nullptr);
  CHECK(file.find(name)->dtype == Dtype::kF16);
  CHECK(file.find(name)->shape == std::vector<int64_t>{size});
  return map_tensor(*file.find(name)).to(at::kFloat);
}

struct Exported {
  TempFolder temp;
  TinyStudent tiny;
  fs::path folder = temp.path() / "dbf";
  DbfExport report;

  explicit Exported(const test::TinyOptions& teacher)
      : tiny((write_teacher(temp.path() / "teacher", teacher), temp.path() / "teacher"),
             /*residual=*/false) {
    report = export_dbf(folder, *tiny.student, tiny.files);
  }
  static void write_teacher(const fs::path& path, const test::TinyOptions& options) {
    create_folders(path);
    test::write_tiny_llama(path, options);
  }
};

}  // namespace

TEST_CASE("a dbf export gives each layer's weight by the plugin's formula and layout") {
  const bool tied = GENERATE(false, true);
  // kv_factor 0.5: k and v have lower ranks than q; 41 columns: rows do not end with a byte.
  Exported made({.tied = tied, .biases = !tied, .intermediate = 41});
  const SafetensorsFile file(made.folder / "model.safetensors");
  const Json config = read_json_file(made.folder / "config.json");
  const Json& about = config.at("quantization_config");
  CHECK(about.at("quant_method") == "dbf");
  CHECK(about.at("modules_in_block_to_quantize").size() == made.tiny.plans.size());
  CHECK(about.at("quantization_bits").size() == 2);
  CHECK(config.at("torch_dtype") == "bfloat16");
  CHECK_FALSE(config.contains("quant_func"));
  CHECK_FALSE(fs::exists(made.folder / "littlebit_config.json"));

  int64_t padded = 0;
  std::map<std::string, at::Tensor> weights;
  for (const StudentGroup& group : made.tiny.student->groups()) {
    for (const LittleBitLinear* layer : group.layers()) {
      INFO(layer->name());
      const int64_t d_in = layer->in_features(), d_out = layer->out_features();
      const std::string p = layer->name() + ".";
      const std::string behind = layer->name().substr(std::string("model.layers.").size());
      const Json& entry = about.at("quantization_bits")
                              .at(static_cast<size_t>(std::stoi(behind)))
                              .at(behind.substr(behind.find('.') + 1));
      CHECK(entry.at("method") == "dbf");
      const int64_t rank = plugin_rank(entry.at("bits").get<double>(), d_in, d_out);
      CHECK(rank >= layer->rank());
      padded += rank > layer->rank();
      const at::Tensor v = unpacked(*file.find(p + "bp1"), rank, d_in);
      const at::Tensor u = unpacked(*file.find(p + "bp3"), d_out, rank);
      const at::Tensor in = vector_of(file, p + "scaling0", d_in),
                       middle = vector_of(file, p + "scaling2", rank),
                       out = vector_of(file, p + "scaling4", d_out);
      CHECK((middle.narrow(0, layer->rank(), rank - layer->rank()) == 0).all().item<bool>());
      // Balanced: within a factor of the square root of two.
      CHECK(std::abs(std::log2(out.abs().mean().item<double>())) < 0.51);
      CHECK(std::abs(std::log2(in.abs().mean().item<double>() * std::sqrt(d_in))) < 0.51);
      const at::Tensor weight = at::matmul(u * out.unsqueeze(1) * middle, v * in);
      const at::Tensor want = layer->effective_weight();
      CHECK(((weight - want).norm() / want.norm()).item<double>() < 1e-3);  // fp16: 2^-11
      if (layer->bias().defined()) {
        CHECK(at::allclose(vector_of(file, p + "bias", d_out), layer->bias(), 1e-3, 1e-6));
      }
      weights[layer->name()] = weight;
    }
  }
  // One count of bits for layers that are run as one.
  for (const Json& block : about.at("quantization_bits")) {
    CHECK(block.at("self_attn.q_proj") == block.at("self_attn.k_proj"));
    CHECK(block.at("self_attn.q_proj") == block.at("self_attn.v_proj"));
    CHECK(block.at("mlp.gate_proj") == block.at("mlp.up_proj"));
  }
  CHECK(padded == made.report.padded_layers);
  CHECK(padded > 0);
  CHECK(padded < static_cast<int64_t>(made.tiny.plans.size()));
  CHECK(made.report.bytes.total() == fs::file_size(made.folder / "model.safetensors"));
  for (const char* name : {"model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"}) {
    REQUIRE(file.find(name) != nullptr);
    CHECK(file.find(name)->dtype == Dtype::kBF16);
  }
  CHECK(static_cast<int64_t>(file.tensors().size()) == made.report.tensors);
  CHECK(is_own_export(made.folder));
  // It is no folder that this program runs or compresses.
  expect_error(ExitCode::kInput, {"dbf"}, [&] { folder_spec(HfFolder(made.folder)); });
}

TEST_CASE("a dbf export of a packed folder with groups widens them") {
  const Exported made({.intermediate = 41});
  export_packed(made.temp.path() / "packed", *made.tiny.student, made.tiny.plans, made.tiny.options,
                made.tiny.files, {RowFormat::kInt8, RowFormat::kInt4});
  const HfFolder packed = test::open_folder(made.temp.path() / "packed");
  const auto student = load_packed_student(packed, at::kFloat, at::kCPU);
  export_dbf(made.temp.path() / "again", *student, packed);
  const SafetensorsFile file(made.temp.path() / "again" / "model.safetensors");
  const at::Tensor head = map_tensor(*file.find("lm_head.weight")).to(at::kFloat);
  const at::Tensor want = dense_weight(made.tiny.student->decoder().head()).to(at::kFloat);
  CHECK(((head - want).norm() / want.norm()).item<double>() < 0.12);
  const Json config = read_json_file(made.temp.path() / "again" / "config.json");
  CHECK_FALSE(config.contains("grouped_matrices"));
  CHECK_FALSE(config.contains("residual"));
}

TEST_CASE("what the dbf layout cannot hold is refused") {
  TempFolder temp;
  test::write_tiny_llama(temp.path());
  const TinyStudent tiny(temp.path(), /*residual=*/true);
  expect_error(ExitCode::kUsage, {"dbf", "one path"},
               [&] { export_dbf(temp.path() / "out", *tiny.student, tiny.files); });
  CHECK_FALSE(fs::exists(temp.path() / "out"));
  ModelSpec spec = tiny.student->decoder().spec();
  CHECK_NOTHROW(require_dbf(spec, 1));
  spec.fused_gate_up = true;
  expect_error(ExitCode::kUsage, {"gate_up_proj"}, [&] { require_dbf(spec, 1); });
  spec.fused_gate_up = false;
  spec.embedding_size = 16;
  expect_error(ExitCode::kUsage, {"project_in"}, [&] { require_dbf(spec, 1); });
}
