// Model folders: one file, shards with an index, odd single files, foreign formats, indexes that
// lie, names with and without "model.", and the content hash.
#include "littlebit/io/hf_folder.h"

#include <nlohmann/json.hpp>

#include "littlebit/io/safetensors_writer.h"
#include "unit/io/expect_error.h"
#include "unit/io/test_folder.h"

using namespace littlebit;
using namespace littlebit::test;

namespace {

// Writes a file of U8 [1] tensors, the k-th holding the byte `first` + k.
void write_tensors(const std::filesystem::path& path, const std::vector<std::string>& names,
                   int first = 1) {
  SafetensorsWriter writer(path);
  for (const std::string& name : names) writer.declare(name, Dtype::kU8, {1});
  for (size_t k = 0; k < names.size(); ++k) {
    const std::byte value{static_cast<unsigned char>(first + int(k))};
    writer.write(std::span(&value, 1));
  }
  writer.commit();
}

void write_index(const TestFolder& folder, const Json& weight_map) {
  folder.write("model.safetensors.index.json",
               to_json_pretty({{"metadata", {{"total_size", 3}}}, {"weight_map", weight_map}}));
}

// A folder of two shards: "model.a" = 1 and "model.b" = 2 in the first, "lm_head" = 11 in the
// second.
void write_sharded(const TestFolder& folder) {
  folder.write("config.json", "{\"model_type\": \"llama\"}");
  write_tensors(folder / "s1.safetensors", {"model.a", "model.b"}, 1);
  write_tensors(folder / "s2.safetensors", {"lm_head"}, 11);
  write_index(folder, {{"model.a", "s1.safetensors"},
                       {"model.b", "s1.safetensors"},
                       {"lm_head", "s2.safetensors"}});
}

void open_refused(const TestFolder& folder, const std::vector<std::string>& words) {
  expect_input_error(words, [&] { HfFolder(folder.path()).open_tensors(); });
}

}  // namespace

TEST_CASE("hf_folder: config.json is read at once, tensors later") {
  const TestFolder folder;
  write_sharded(folder);
  HfFolder model(folder.path());
  CHECK(get_string(model.config(), "model_type", "config.json") == "llama");
  CHECK(model.path() == folder.path());
  CHECK(model.has_tensor_files());
  model.open_tensors();
  model.open_tensors();
  CHECK(model.names() == std::vector<std::string>{"lm_head", "model.a", "model.b"});
  CHECK(model.tensor_bytes() == 3);
  CHECK(model.find("model.b")->data[0] == std::byte{2});
  CHECK(model.find("lm_head")->data[0] == std::byte{11});
  CHECK(model.unused() == std::vector<std::string>{"model.a"});
  const HfFolder moved = std::move(model);
  CHECK(moved.require("model.a").data[0] == std::byte{1});
  CHECK(moved.unused().empty());
}

TEST_CASE("hf_folder: a leading \"model.\" may be there or not") {
  const TestFolder folder;
  folder.write("config.json", "{}");
  write_tensors(folder / "model.safetensors", {"h.weight", "model.n.weight", "x", "model.x"});
  HfFolder model(folder.path());
  model.open_tensors();
  CHECK(model.find("model.h.weight")->name == "h.weight");
  CHECK(model.find("n.weight")->name == "model.n.weight");
  CHECK(model.find("x")->name == "x");
  CHECK(model.find("model.x")->name == "model.x");
  CHECK(model.find("model.model.x") != nullptr);
  CHECK(model.find("y") == nullptr);
  CHECK(model.unused().empty());
  expect_input_error({"model.h.wait", "missing", folder.path().string()},
                     [&] { model.require("model.h.wait"); });
  try {
    model.require("h.weigth");
  } catch (const Error& error) {
    CHECK(error.hint().find("h.weight") != std::string::npos);
  }
}

TEST_CASE("hf_folder: one file under another name is taken, several are refused") {
  const TestFolder folder;
  folder.write("config.json", "{}");
  CHECK_FALSE(HfFolder(folder.path()).has_tensor_files());
  open_refused(folder, {"no tensor files", "model.safetensors"});
  write_tensors(folder / "consolidated.safetensors", {"a"});
  HfFolder model(folder.path());
  CHECK(model.has_tensor_files());
  model.open_tensors();
  CHECK(model.names() == std::vector<std::string>{"a"});
  write_tensors(folder / "other.safetensors", {"b"});
  open_refused(folder, {"several", "consolidated.safetensors", "other.safetensors"});
  write_tensors(folder / "model.safetensors", {"c"});
  HfFolder named(folder.path());
  named.open_tensors();
  CHECK(named.names() == std::vector<std::string>{"c"});
}

TEST_CASE("hf_folder: other formats are refused with the way out") {
  for (const char* name : {"pytorch_model.bin", "model.Q4_K.gguf", "consolidated.00.pth"}) {
    const TestFolder folder;
    folder.write("config.json", "{}");
    folder.write(name, "x");
    HfFolder model(folder.path());
    CHECK_FALSE(model.has_tensor_files());
    try {
      model.open_tensors();
      FAIL("no error was thrown");
    } catch (const InputError& error) {
      CHECK(std::string(error.what()).find(name) != std::string::npos);
      CHECK(error.hint().find("convert the model to safetensors") != std::string::npos);
    }
  }
}

TEST_CASE("hf_folder: config.json must be there, small and an object") {
  const TestFolder folder;
  expect_input_error({"no such folder"}, [&] { HfFolder(folder / "none"); });
  expect_input_error({"no such folder"}, [&] { HfFolder(folder / std::string(5000, 'x')); });
  expect_input_error({"no config.json"}, [&] { HfFolder(folder.path()); });
  folder.write("config.json", "[]");
  expect_input_error({"config.json", "object"}, [&] { HfFolder(folder.path()); });
  folder.write("config.json", "{\"a\": 1, \"a\": 2}");
  expect_input_error({"config.json:1:10:"}, [&] { HfFolder(folder.path()); });
  folder.write("config.json", "{\"a\": \"" + std::string(1 << 20, 'x') + "\"}");
  expect_input_error({"config.json"}, [&] { HfFolder(folder.path()); });
  expect_input_error({"not a folder"}, [&] { HfFolder(folder / "config.json"); });
}

TEST_CASE("hf_folder: an index that does not fit its shards is refused") {
  const TestFolder folder;
  write_sharded(folder);
  SECTION("a shard is missing") {
    std::filesystem::remove(folder / "s2.safetensors");
    open_refused(folder, {"s2.safetensors", "missing"});
  }
  SECTION("a tensor is missing from its shard") {
    write_index(folder, {{"model.a", "s1.safetensors"}, {"model.c", "s2.safetensors"}});
    open_refused(folder, {"s2.safetensors", "model.c"});
  }
  SECTION("a tensor is in two shards") {
    write_tensors(folder / "s2.safetensors", {"lm_head", "model.a"});
    open_refused(folder, {"model.a", "s2.safetensors", "s1.safetensors"});
  }
  SECTION("a tensor outside the index is not seen") {
    write_tensors(folder / "s2.safetensors", {"lm_head", "extra"});
    HfFolder model(folder.path());
    model.open_tensors();
    CHECK(model.names() == std::vector<std::string>{"lm_head", "model.a", "model.b"});
  }
  SECTION("a shard is damaged") {
    folder.write("s1.safetensors", "xx");
    open_refused(folder, {"s1.safetensors"});
  }
}

TEST_CASE("hf_folder: shard names cannot leave the folder") {
  for (const std::string& name :
       std::vector<std::string>{"../s1.safetensors", "/etc/s1.safetensors", "sub/s1.safetensors",
                                "..\\s1.safetensors", std::string("a\0.safetensors", 13)}) {
    const TestFolder folder;
    write_sharded(folder);
    write_index(folder, {{"model.a", name}});
    open_refused(folder, {"model.safetensors.index.json", "model.a", "not a plain file name"});
  }
  const TestFolder folder;
  write_sharded(folder);
  for (const char* name : {"..", "", "model.bin"}) {
    write_index(folder, {{"model.a", name}});
    open_refused(folder, {"must end in .safetensors"});
  }
}

TEST_CASE("hf_folder: an index of another form is refused") {
  const TestFolder folder;
  folder.write("config.json", "{}");
  for (const char* text : {"[]", "{}", "{\"weight_map\": []}", "{\"weight_map\": {}}"}) {
    folder.write("model.safetensors.index.json", text);
    open_refused(folder, {"model.safetensors.index.json", "weight_map"});
  }
  folder.write("model.safetensors.index.json", "{\"weight_map\": {\"a\": 1}}");
  open_refused(folder, {"model.safetensors.index.json", "\"a\"", "string"});
}

TEST_CASE("hf_folder: the content hash follows the content, not the place") {
  const TestFolder one, two;
  write_sharded(one);
  write_sharded(two);
  const std::string hash = HfFolder(one.path()).content_hash();
  CHECK(hash.size() == 32);
  CHECK(HfFolder(two.path()).content_hash() == hash);
  HfFolder opened(two.path());
  opened.open_tensors();
  CHECK(opened.content_hash() == hash);
  two.write("README.md", "not part of the model");
  CHECK(HfFolder(two.path()).content_hash() == hash);
  write_tensors(two / "s2.safetensors", {"lm_head"}, 12);
  CHECK(HfFolder(two.path()).content_hash() != hash);
  write_tensors(two / "s2.safetensors", {"lm_head"}, 11);
  CHECK(HfFolder(two.path()).content_hash() == hash);
  two.write("config.json", "{}");
  CHECK(HfFolder(two.path()).content_hash() != hash);
}
