// Every architecture from its fixture to a packed model, through the run that littlebit-train
// starts: training lowers the loss, a stopped and resumed run gives the bytes of a straight one,
// the packed folder computes what the student in memory computes, and its tensors have the names
// and shapes that the authors' loader looks for.
#include <ATen/ATen.h>
#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "golden/expected_layers.h"
#include "littlebit/checkpoint/checkpoint.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/write_file.h"
#include "littlebit/export/load_packed.h"
#include "littlebit/io/safetensors_writer.h"
#include "littlebit/models/architectures.h"
#include "littlebit/models/forward.h"
#include "littlebit/models/load.h"
#include "littlebit/nn/tensor_io.h"
#include "littlebit/quant/initialize.h"
#include "littlebit/train/run.h"
#include "support/paths.h"
#include "temp_folder.h"

using namespace littlebit;
namespace fs = std::filesystem;

namespace {

// More than 64 tokens at a time: packed layers are then multiplied as in training, to the last bit
// (packed_linear.h; fewer: packed_linear_test.cpp).
constexpr int64_t kTokens = 17, kBlocks = 4, kHundredths = 300, kKvFactor = 2;

std::vector<fs::path> fixtures() {
  std::vector<fs::path> folders;
  for (const char* set : {"models", "more_models", "newer_models"}) {
    const fs::path root = fs::path(test::kSourceDir) / "tests" / "golden" / set;
    for (const auto& entry : fs::directory_iterator(root)) {
      if (fs::exists(entry.path() / "config.json")) folders.push_back(entry.path());
    }
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

// Sends what a run says to a file while it is in scope.
class Muted {
 public:
  explicit Muted(const fs::path& file) : saved_(dup(2)) {
    const int target = open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
    dup2(target, 2);
    close(target);
  }
  ~Muted() {
    dup2(saved_, 2);
    close(saved_);
  }

 private:
  int saved_;
};

class Case {
 public:
  explicit Case(const fs::path& model) : model_(model), folder_(model) {
    at::manual_seed(3);
    const int64_t vocabulary = test::sizes_of(folder_.config()).vocabulary;
    const at::Tensor ids = at::randint(vocabulary, {kBlocks, kTokens}, at::kInt);
    SafetensorsWriter writer(temp_ / "tokens.safetensors");
    writer.declare("input_ids", Dtype::kI32, {kBlocks, kTokens});
    write_tensor(writer, ids);
    writer.commit();
  }

  fs::path operator/(const std::string& name) const { return temp_ / name; }
  const Json& config() const { return folder_.config(); }

  // All blocks in every step: losses of steps compare. 3 bits a weight, twice the rank for k and v.
  void train(const std::string& name, std::vector<std::string> extra, Resume resume) const {
    RunOptions options;
    OptionTree tree;
    options.declare(tree);
    std::vector<std::string> words = {
        "model.path=" + model_.string(),
        "data.train=[{path: \"" + (temp_ / "tokens.safetensors").string() + "\", format: tokens}]",
        "data.sequence_length=" + std::to_string(kTokens),
        "quant.bits_per_weight=" + std::to_string(kHundredths / 100),
        "quant.kv_factor=" + std::to_string(kKvFactor),
        "train.steps=8",
        "train.micro_batch_size=" + std::to_string(kBlocks),
        "train.threads=1",
        "optim.learning_rate=5e-3",
        "optim.warmup_ratio=0",
        "output.dir=" + (temp_ / name).string()};
    words.insert(words.end(), extra.begin(), extra.end());
    for (const std::string& word : words) tree.set(word);
    options.check(tree);
    tree.finish();
    const Muted muted(temp_ / "said");
    REQUIRE(run_training(options, tree, {.resume = resume}) == ExitCode::kDone);
  }

  std::vector<double> losses(const std::string& name) const {
    std::ifstream stream(temp_ / name / "metrics.jsonl");
    std::vector<double> values;
    for (std::string line; std::getline(stream, line);) {
      values.push_back(parse_json(line, name).at("loss").get<double>());
    }
    return values;
  }

  // Logits of the student of a checkpoint, with everything but signs rounded as packed folders
  // hold it; and of a packed folder.
  at::Tensor student_logits(const std::string& name) {
    folder_.open_tensors();
    const Decoder teacher =
        load_decoder(folder_, parse_model_spec(folder_.config()), at::kFloat, at::kCPU);
    const StateReader state = open_state(read_checkpoint(temp_ / name / "checkpoints" / "step-8"));
    Decoder open = open_decoder(teacher);
    const std::vector<LayerPlan> plans = plans_of_state(state, open);
    Student student(std::move(open), plans);
    load_weights(state, student);
    const auto round = [](const at::Tensor& x) { return x.to(at::kBFloat16).to(at::kFloat); };
    for (StudentGroup& group : student.groups()) {
      at::Tensor vectors = group.vectors();
      vectors.copy_(round(vectors));
    }
    Decoder& decoder = student.decoder();
    FrozenTensors frozen = decoder.frozen();
    frozen.embedding = round(frozen.embedding);
    if (frozen.positions.defined()) frozen.positions = round(frozen.positions);
    decoder.set_frozen(frozen);
    decoder.set_head(std::make_shared<DenseLinear>(dense_weight(decoder.head()).to(at::kBFloat16)));
    return forward_full(student.decoder(), ids(), false).logits;
  }
  at::Tensor packed_logits(const std::string& name) const {
    HfFolder packed(temp_ / name / "export" / "packed");
    packed.open_tensors();
    return forward_full(load_packed(packed, at::kFloat, at::kCPU), ids(), false).logits;
  }

 private:
  at::Tensor ids() const {
    const SafetensorsFile file(temp_ / "tokens.safetensors");
    return load_tensor(*file.find("input_ids"), at::kLong, at::kCPU, "");
  }

  TempFolder temp_;
  fs::path model_;
  HfFolder folder_;
};

struct Expected {
  Dtype dtype;
  std::vector<int64_t> shape;
};

// Every tensor of a packed folder in the authors' format.
std::map<std::string, Expected> packed_tensors(const Json& config) {
  std::map<std::string, Expected> tensors;
  const auto words = [](int64_t n) { return (n + 31) / 32; };
  for (const auto& [name, shape] : test::other_tensors(config)) {
    tensors[name] = {Dtype::kBF16, shape};
  }
  for (const test::Layer& layer : test::layers_of(config)) {
    const int64_t r = test::rank_of(layer, kHundredths, kKvFactor, 8);
    const std::string p = layer.name + ".";
    for (const std::string path : {"", "_R"}) {
      tensors[p + "U" + path + "_packed"] = {Dtype::kI32, {layer.out, words(r)}};
      tensors[p + "V" + path + "_packed"] = {Dtype::kI32, {r, words(layer.in)}};
      tensors[p + "U" + path + "_shape"] = {Dtype::kI64, {2}};
      tensors[p + "V" + path + "_shape"] = {Dtype::kI64, {2}};
      tensors[p + "u1" + path] = {Dtype::kBF16, {1, layer.out}};
      tensors[p + "u2" + path] = {Dtype::kBF16, {1, r}};
      tensors[p + "v1" + path] = {Dtype::kBF16, {1, r}};
      tensors[p + "v2" + path] = {Dtype::kBF16, {1, layer.in}};
    }
    if (layer.bias) tensors[p + "bias"] = {Dtype::kBF16, {layer.out}};
    tensors[p + "_eff_bit_target"] = {Dtype::kBF16, {}};
    tensors[p + "_eff_bit_actual"] = {Dtype::kBF16, {}};
    tensors[p + "_split_dim_final"] = {Dtype::kI64, {}};
  }
  return tensors;
}

void check_packed_folder(const fs::path& folder, const Json& config) {
  HfFolder packed(folder);
  packed.open_tensors();
  const std::map<std::string, Expected> expected = packed_tensors(config);
  std::vector<std::string> names;
  for (const auto& [name, want] : expected) {
    names.push_back(name);
    const TensorView* view = packed.find(name);
    INFO(name);
    REQUIRE(view != nullptr);
    CHECK(view->dtype == want.dtype);
    CHECK(view->shape == want.shape);
    if (!name.ends_with("_shape")) continue;
    // The numbers in it are the matrix's before packing.
    const std::string stem = name.substr(0, name.size() - 6);
    const bool u = stem.substr(stem.rfind('.') + 1).starts_with("U");
    const std::string layer = stem.substr(0, stem.rfind('.'));
    const std::string suffix = stem.ends_with("_R") ? "_R" : "";
    const at::Tensor numbers = load_tensor(*view, at::kLong, at::kCPU, "");
    const int64_t rank = packed.require(layer + ".u2" + suffix).shape[1];
    const int64_t other = packed.require(layer + (u ? ".u1" : ".v2") + suffix).shape[1];
    CHECK(numbers[u ? 0 : 1].item<int64_t>() == other);
    CHECK(numbers[u ? 1 : 0].item<int64_t>() == rank);
  }
  CHECK(packed.names() == names);
  CHECK(read_json_file(folder / "littlebit_config.json").at("kv_factor") == kKvFactor);
}

void check_case(Case& scene) {
  scene.train("whole", {}, Resume::kNever);
  const std::vector<double> losses = scene.losses("whole");
  REQUIRE(losses.size() == 8);
  CHECK(losses.back() < 0.9 * losses.front());

  scene.train("parts", {"train.stop_after=3"}, Resume::kNever);
  CHECK_FALSE(fs::exists(scene / "parts" / "export"));
  scene.train("parts", {}, Resume::kAuto);
  CHECK(scene.losses("parts") == losses);
  for (const char* file : {"checkpoints/step-8/state.safetensors",
                           "export/packed/model.safetensors", "export/packed/config.json"}) {
    INFO(file);
    CHECK(read_file(scene / "whole" / file) == read_file(scene / "parts" / file));
  }

  check_packed_folder(scene / "whole/export/packed", scene.config());
  const at::Tensor logits = scene.packed_logits("whole");
  CHECK(at::isfinite(logits).all().item<bool>());
  CHECK(at::equal(logits, scene.student_logits("whole")));
}

}  // namespace

TEST_CASE("every architecture is trained, resumed, packed and read back") {
  const std::vector<fs::path> folders = fixtures();
  CHECK(folders.size() == 47);
  std::set<std::string> types;
  for (const fs::path& folder : folders) {
    INFO(folder.filename());
    Case scene(folder);
    types.insert(scene.config().at("model_type"));
    check_case(scene);
  }
  CHECK(types == std::set<std::string>{"gemma", "gemma2", "gemma3_text", "llama", "mistral", "opt",
                                       "phi3", "qwen2", "qwen3", "starcoder2"});
}

TEST_CASE("a multimodal Gemma 3 becomes a packed text model of its own") {
  const fs::path source = fs::path(test::kSourceDir) / "tests/golden/models/gemma3";
  HfFolder text(source);
  text.open_tensors();
  const TempFolder temp;
  SafetensorsWriter writer(temp / "model.safetensors");
  for (const std::string& name : text.names()) {
    writer.declare("language_model." + name, text.require(name).dtype, text.require(name).shape);
  }
  writer.declare("vision_tower.patch.weight", Dtype::kF32, {1});
  for (const std::string& name : text.names()) writer.write(text.require(name).data);
  const float one = 1;
  writer.write(std::as_bytes(std::span(&one, 1)));
  writer.commit();
  const Json whole = {{"model_type", "gemma3"},
                      {"architectures", {"Gemma3ForConditionalGeneration"}},
                      {"text_config", text.config()},
                      {"vision_config", {{"hidden_size", 8}}}};
  write_file(temp / "config.json", to_json_pretty(whole));

  Case scene(temp.path());
  check_case(scene);
  const Json written = read_json_file(scene / "whole/export/packed/config.json");
  CHECK(written.at("model_type") == "gemma3_text");
  CHECK(written.at("architectures") == Json{"Gemma3ForCausalLM"});
  CHECK_FALSE(written.contains("vision_config"));
  CHECK_FALSE(written.contains("text_config"));
}
