// The workshop of wrong_input.h: a small good model, texts and ids in a folder of its own, and the
// tools that spoil them. Tensors are written without the checks of our own writer.
#include <algorithm>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "integration/wrong_input.h"
#include "littlebit/core/read_file.h"
#include "littlebit/io/json.h"
#include "littlebit/io/safetensors.h"
#include "littlebit/io/safetensors_writer.h"
#include "support/tiny_model.h"

namespace littlebit::test {
namespace {

namespace fs = std::filesystem;

// A safetensors file as it is, without the care of our own writer.
std::string safetensors_bytes(const std::vector<Workshop::Tensor>& tensors) {
  Json header = Json::object();
  std::string data;
  for (const Workshop::Tensor& tensor : tensors) {
    header[tensor.name] = {{"dtype", tensor.dtype},
                           {"shape", tensor.shape},
                           {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
    data += tensor.bytes;
  }
  const std::string text = to_json_line(header);
  const uint64_t length = text.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes + text + data;
}

std::vector<Workshop::Tensor> tensors_of(const fs::path& path) {
  const SafetensorsFile file(path);
  std::vector<Workshop::Tensor> tensors;
  for (const TensorView& view : file.tensors()) {
    tensors.push_back(
        {view.name, dtype_name(view.dtype), view.shape,
         std::string(reinterpret_cast<const char*>(view.data.data()), view.data.size())});
  }
  return tensors;
}

}  // namespace

Workshop::Workshop() {
  const fs::path golden = fs::path(kSourceDir) / "tests" / "golden";
  fs::create_directories(temp_ / "model");
  write_tiny_llama(temp_ / "model", {.vocabulary = 512, .layers = 1});
  for (const char* name : {"tokenizer.model", "tokenizer_config.json"}) {
    fs::copy_file(golden / "stories260k" / name, temp_ / "model" / name);
  }
  write("text.txt", read_file(golden / "training" / "tinystories_tail.txt").substr(0, 2000));
  write_ids("tokens.safetensors", 12, 16);
  write_ids("ids.safetensors", 1, 8);
}

void Workshop::write(const std::string& name, std::string_view bytes) const {
  std::ofstream file(temp_ / name, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!file.flush()) throw std::runtime_error("cannot write " + name);
}

void Workshop::write_ids(const std::string& name, int64_t rows, int64_t length) const {
  SafetensorsWriter writer(temp_ / name);
  writer.declare("input_ids", Dtype::kI32, {rows, length});
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < rows * length; ++i) ids.push_back(i * 37 % 500);
  writer.write(std::as_bytes(std::span(ids)));
  writer.commit();
}

void Workshop::replace(const std::string& name, const std::string& old_text,
                       const std::string& new_text) const {
  std::string text = read(name);
  const size_t at = text.find(old_text);
  if (at == std::string::npos) throw std::runtime_error(name + " does not hold " + old_text);
  write(name, text.replace(at, old_text.size(), new_text));
}

void Workshop::remove(const std::string& name) const { fs::remove_all(temp_ / name); }

void Workshop::copy(const std::string& from, const std::string& to) const {
  fs::copy(temp_ / from, temp_ / to, fs::copy_options::recursive);
}

void Workshop::shell(const std::string& command) const {
  const std::string line = "cd " + shell_quoted(temp_.path().string()) + " && " + command;
  if (std::system(line.c_str()) != 0) throw std::runtime_error("failed: " + line);
}

void Workshop::change_tensors(const std::function<void(std::vector<Tensor>&)>& change) const {
  std::vector<Tensor> tensors = tensors_of(temp_ / "model" / "model.safetensors");
  change(tensors);
  write("model/model.safetensors", safetensors_bytes(tensors));
}

void Workshop::shard() const {
  const std::vector<Tensor> tensors = tensors_of(temp_ / "model" / "model.safetensors");
  const auto half = static_cast<std::ptrdiff_t>(tensors.size() / 2);
  Json map = Json::object();
  for (int i = 0; i < 2; ++i) {
    const std::string name = "part-" + std::to_string(i + 1) + ".safetensors";
    const std::vector<Tensor> part(i == 0 ? tensors.begin() : tensors.begin() + half,
                                   i == 0 ? tensors.begin() + half : tensors.end());
    write("model/" + name, safetensors_bytes(part));
    for (const Tensor& tensor : part) map[tensor.name] = name;
  }
  remove("model/model.safetensors");
  write("model/model.safetensors.index.json", to_json_pretty({{"weight_map", map}}));
}

Outcome Workshop::train(const std::vector<std::string>& words, const std::string& prefix) const {
  std::vector<std::string> all = {"model.path=model",        "data.train=text.txt",
                                  "data.sequence_length=16", "quant.bits_per_weight=6",
                                  "train.steps=2",           "train.micro_batch_size=2",
                                  "train.threads=1",         "output.dir=out"};
  all.insert(all.end(), words.begin(), words.end());
  return run("littlebit-train", all, prefix);
}

Outcome Workshop::train_ids(std::vector<std::string> words, const std::string& prefix) const {
  words.insert(words.begin(), "data.train=[{path: tokens.safetensors, format: tokens}]");
  return train(words, prefix);
}

Outcome Workshop::eval(const std::vector<std::string>& arguments, const std::string& prefix) const {
  return run("littlebit-eval", arguments, prefix);
}

Outcome Workshop::score(const std::string& text) const {
  return eval({"--model", "model", "--text", text, "--seqlen", "16", "--threads", "1", "--output",
               "results.json"});
}

Outcome Workshop::forward(const std::string& ids) const {
  return eval({"forward", "--model", "model", "--input", ids, "--output", "logits.safetensors",
               "--threads", "1"});
}

Outcome Workshop::tokenize(const std::string& strings) const {
  write("strings.json", strings);
  return eval(
      {"tokenize", "--model", "model", "--input", "strings.json", "--output", "token-ids.json"});
}

Outcome Workshop::run(const std::string& program, const std::vector<std::string>& arguments,
                      const std::string& prefix) const {
  before_ = files();
  return run_program(program, arguments,
                     "cd " + shell_quoted(temp_.path().string()) + " && " + prefix);
}

Workshop::Files Workshop::files() const {
  Files found;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(temp_.path())) {
    if (!entry.is_symlink() && entry.is_regular_file()) {
      found[fs::relative(entry.path(), temp_.path()).string()] = read_file(entry.path());
    }
  }
  return found;
}

}  // namespace littlebit::test
