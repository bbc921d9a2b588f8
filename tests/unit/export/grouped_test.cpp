// Packed folders with embedding and head in groups of 8- or 4-bit numbers.
#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/write_file.h"
#include "littlebit/export/dense.h"
#include "littlebit/export/folder.h"
#include "littlebit/export/load_packed.h"
#include "littlebit/export/packed.h"
#include "littlebit/export/stored_rows.h"
#include "littlebit/io/safetensors_writer.h"
#include "littlebit/models/forward.h"
#include "littlebit/models/incremental.h"
#include "littlebit/models/load.h"
#include "littlebit/nn/grouped_linear.h"
#include "littlebit/nn/tensor_io.h"
#include "littlebit/quant/factor_file.h"
#include "support/loaded_model.h"
#include "support/tiny_student.h"
#include "unit/io/expect_error.h"

using namespace littlebit;
using littlebit::test::expect_error;
using littlebit::test::TinyStudent;

namespace {

namespace fs = std::filesystem;

struct Exported {
  TempFolder temp;
  TinyStudent tiny;
  fs::path folder = temp.path() / "packed";
  RowFormats formats;
  PackedExport report;

  Exported(bool tied, const RowFormats& formats_)
      : tiny((write_teacher(temp.path() / "teacher", tied), temp.path() / "teacher")),
        formats(formats_) {
    report = export_packed(folder, *tiny.student, tiny.plans, tiny.options, tiny.files, formats);
  }
  static void write_teacher(const fs::path& path, bool tied) {
    create_folders(path);
    test::write_tiny_llama(path, {.tied = tied, .intermediate = 41});
  }
};

constexpr RowFormat kBf16 = RowFormat::kBf16, kInt8 = RowFormat::kInt8, kInt4 = RowFormat::kInt4;

// A matrix of the folder, entry by entry as docs/formats.md describes it.
at::Tensor described(const SafetensorsFile& file, const std::string& name, int64_t cols) {
  const TensorView* view = file.find(name);
  REQUIRE(view != nullptr);
  const at::Tensor numbers = map_tensor(*view);
  if (view->dtype == Dtype::kBF16) return numbers.to(at::kFloat);
  const at::Tensor scales = map_tensor(*file.find(name + "_scale")).to(at::kFloat);
  const bool wide = view->dtype == Dtype::kI8;
  const int64_t rows = view->shape[0], size = view->shape[2] * (wide ? 1 : 2), half = size / 2;
  REQUIRE(view->shape.size() == 3);
  REQUIRE(view->shape[1] == (cols + size - 1) / size);
  at::Tensor matrix = at::empty({rows, cols});
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) {
      const int64_t g = c / size, at = c % size;
      int number;
      if (wide) {
        number = numbers[r][g][at].item<int8_t>();
      } else {
        const int byte = numbers[r][g][at % half].item<uint8_t>();
        number = (at < half ? byte & 15 : byte >> 4) - 8;
      }
      matrix[r][c] = static_cast<float>(number) * scales[r][g].item<float>();
    }
  }
  return matrix;
}

double gap(const at::Tensor& got, const at::Tensor& want) {
  return ((got.to(at::kFloat) - want).norm() / want.norm()).item<double>();
}

}  // namespace

TEST_CASE("embedding and head in groups are what the decoder computes with") {
  struct Case {
    bool tied;
    RowFormats formats;
    uint64_t embedding_bytes, head_bytes;  // 48 rows of 32 numbers
  };
  const Case cases[] = {{false, {kInt8, kInt8}, 48 * (64 + 2), 48 * (64 + 2)},
                        {false, {kInt8, kInt4}, 48 * (64 + 2), 48 * (16 + 2)},
                        {false, {kBf16, kInt4, 64}, 48 * 64, 48 * (32 + 2)},
                        {false, {kInt4, kBf16}, 48 * (16 + 2), 48 * 64},
                        {true, {kInt8, kInt8, 32}, 48 * (32 + 2), 0},
                        {true, {kInt4, kInt4, 128}, 48 * (64 + 2), 0}};
  const Case& c = cases[GENERATE(0, 1, 2, 3, 4, 5)];
  Exported made(c.tied, c.formats);
  const ByteTable& bytes = made.report.bytes;
  CHECK(bytes.embeddings == c.embedding_bytes);
  CHECK(bytes.head == c.head_bytes);
  CHECK(bytes.total() == fs::file_size(made.folder / "model.safetensors"));
  CHECK(stored_bytes(48, 32, c.formats.embedding, c.formats.group_size) == c.embedding_bytes);
  if (!c.tied) {
    CHECK(stored_bytes(48, 32, c.formats.head, c.formats.group_size) == c.head_bytes);
  }
  CHECK(verify_packed(made.folder, *made.tiny.student, made.tiny.plans, c.formats) > 0);

  const SafetensorsFile file(made.folder / "model.safetensors");
  CHECK((file.find("lm_head.weight") == nullptr) == c.tied);
  const at::Tensor embedding = described(file, "model.embed_tokens.weight", 32);
  const at::Tensor head = c.tied ? embedding : described(file, "lm_head.weight", 32);
  made.tiny.round_to_bf16();
  Decoder& student = made.tiny.student->decoder();
  const at::Tensor before = student.frozen().embedding;
  FrozenTensors frozen = student.frozen();
  frozen.embedding = embedding;
  student.set_frozen(frozen);
  student.set_head(std::make_shared<DenseLinear>(head));

  size_t grouped = 0;
  for (const GroupedMatrix& matrix : made.report.grouped) {
    ++grouped;
    const bool is_head = matrix.part == "head";
    const RowFormat format = is_head ? c.formats.head : c.formats.embedding;
    CHECK(matrix.bits == (format == kInt8 ? 8 : 4));
    CHECK(
        matrix.stored_bits ==
        Approx(8.0 * static_cast<double>(is_head ? c.head_bytes : c.embedding_bytes) / (48 * 32)));
    CHECK(matrix.relative_error < (format == kInt8 ? 0.01 : 0.12));
    if (is_head) continue;
    const at::Tensor teacher =
        load_tensor(made.tiny.files.require("model.embed_tokens.weight"), at::kFloat, at::kCPU, "");
    CHECK(matrix.relative_error ==
          Approx(((embedding - teacher).norm() / teacher.norm()).item<double>()).epsilon(1e-4));
  }
  CHECK(grouped ==
        static_cast<size_t>((c.formats.embedding != kBf16) + (!c.tied && c.formats.head != kBf16)));

  HfFolder files = test::open_folder(made.folder);
  const at::Tensor ids = at::randint(48, {2, 9}, at::kLong);
  const at::Tensor want = forward_full(student, ids, false).logits;
  for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kBFloat16}) {
    const double limit = type == at::kBFloat16 ? 0.05 : 1e-5;  // one rounding is 2^-9
    const Decoder loaded = load_packed(files, type, at::kCPU);
    CHECK(files.unused().empty());
    const at::Tensor got = forward_full(loaded, ids, false).logits;
    CHECK(gap(got, want) < limit);
    // One token at a time: the other form of the products.
    IncrementalDecoder incremental(loaded, CacheKind::kFull);
    for (int64_t t = 0; t < 9; ++t) {
      const int32_t id = ids[0][t].item<int32_t>();
      const at::Tensor step = loaded.head_forward(incremental.extend({&id, 1}));
      CHECK(gap(step[0], want[0][t]) < limit);
    }
    if (c.formats.embedding != kBf16) {
      REQUIRE(loaded.frozen().grouped_embedding);
      CHECK_FALSE(loaded.frozen().embedding.defined());
      // The mapped file itself, not a copy.
      CHECK(loaded.frozen().grouped_embedding->numbers.data_ptr() ==
            files.require("model.embed_tokens.weight").data.data());
    }
  }
}

TEST_CASE("a dense export of a folder with groups holds their entries") {
  const bool tied = GENERATE(false, true);
  const Exported made(tied, {kInt8, tied ? kInt8 : kInt4});
  const HfFolder files = test::open_folder(made.folder);
  const auto student = load_packed_student(files, at::kFloat, at::kCPU);
  export_dense(made.temp.path() / "dense", *student, at::kFloat, files);
  const SafetensorsFile packed(made.folder / "model.safetensors");
  const SafetensorsFile dense(made.temp.path() / "dense" / "model.safetensors");
  for (const char* name : {"model.embed_tokens.weight", "lm_head.weight"}) {
    if (tied && std::string(name) == "lm_head.weight") {
      CHECK(dense.find(name) == nullptr);
      continue;
    }
    CHECK(at::equal(map_tensor(*dense.find(name)), described(packed, name, 32)));
    CHECK(dense.find(std::string(name) + "_scale") == nullptr);
  }
  const Json config = read_json_file(made.temp.path() / "dense" / "config.json");
  CHECK_FALSE(config.contains("grouped_matrices"));
  CHECK(config == [&] {
    Json teacher = read_json_file(made.temp.path() / "teacher" / "config.json");
    teacher["torch_dtype"] = "float32";
    return teacher;
  }());
}

TEST_CASE("the folder's JSON says which matrices are in groups; it can start a training") {
  const Exported made(false, {kInt8, kInt4, 64});
  const Json expected = {{"embeddings", {{"bits", 8}, {"group_size", 64}}},
                         {"head", {{"bits", 4}, {"group_size", 64}}}};
  CHECK(read_json_file(made.folder / "littlebit_config.json").at("grouped_matrices") == expected);
  CHECK(read_json_file(made.folder / "config.json").at("grouped_matrices") == expected);
  const Exported plain(false, {});
  CHECK_FALSE(read_json_file(plain.folder / "config.json").contains("grouped_matrices"));
  CHECK(plain.report.grouped.empty());
  const FactorFile factors(made.folder);
  CHECK(factors.has_layer("model.layers.0.self_attn.q_proj"));
}

TEST_CASE("damaged groups are refused by name") {
  Exported made(false, {kInt8, kInt4});
  const fs::path path = made.folder / "model.safetensors";
  struct Stored {
    Dtype dtype;
    std::vector<int64_t> shape;
    std::string bytes;
  };
  std::map<std::string, Stored> tensors;
  {
    const SafetensorsFile file(path);
    for (const TensorView& view : file.tensors()) {
      tensors[view.name] = {
          view.dtype, view.shape,
          std::string(reinterpret_cast<const char*>(view.data.data()), view.data.size())};
    }
  }
  const auto check = [&](const std::function<void(std::map<std::string, Stored>&)>& spoil,
                         const std::vector<std::string>& words) {
    std::map<std::string, Stored> spoiled = tensors;
    spoil(spoiled);
    {
      SafetensorsWriter writer(path);
      for (const auto& [name, tensor] : spoiled) writer.declare(name, tensor.dtype, tensor.shape);
      for (const auto& [name, tensor] : spoiled) {
        writer.write(std::as_bytes(std::span(tensor.bytes)));
      }
      writer.commit();
    }
    expect_error(ExitCode::kInput, words, [&] {
      const HfFolder files = test::open_folder(made.folder);
      load_packed(files, at::kFloat, at::kCPU);
    });
  };
  const std::string embedding = "model.embed_tokens.weight", head = "lm_head.weight";
  for (const std::string& name : {embedding, head}) {
    const std::string scale = name + "_scale";
    check([&](auto& t) { t.erase(scale); }, {scale, "missing"});
    check([&](auto& t) { t.erase(name); }, {name});
    check([&](auto& t) { t[scale].shape = {1, 48}; }, {scale, "[1, 48]", "[48, 1]"});
    check([&](auto& t) { t[scale].dtype = Dtype::kF16; }, {scale, "F16", "BF16"});
    check([&](auto& t) { t[scale].bytes.replace(10, 2, "\xC0\x7F"); }, {scale, "NaN"});
    check([&](auto& t) { t[scale].bytes.replace(10, 2, std::string("\x80\xFF", 2)); },
          {scale, "infinite"});
    check([&](auto& t) { std::swap(t[name].shape[0], t[name].shape[1]); }, {name, "shape"});
    check([&](auto& t) { t[name].shape = {24, 2, t[name].shape[2]}; }, {name, "[24, 2"});
    check([&](auto& t) { t[name].shape = {48, 4, t[name].shape[2] / 4}; }, {name, "groups"});
    check([&](auto& t) { t[name].shape = {48, t[name].shape[2]}; }, {name, "holds "});
    check(
        [&](auto& t) {
          t[name].shape = {48, 1, 0};
          t[name].bytes.clear();
        },
        {name, "groups"});
  }
  check([&](auto& t) { t[head].dtype = Dtype::kI8; }, {head, "16]"});
  // As a model to compress, or a plain one, it is refused too.
  expect_error(ExitCode::kInput, {"holds I8"}, [&] {
    const HfFolder files = test::open_folder(made.folder);
    load_decoder(files, folder_spec(files), at::kFloat, at::kCPU);
  });
}
