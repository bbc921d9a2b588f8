// The targets that need no LibTorch.
#include <cstring>
#include <nlohmann/json.hpp>

#include "fuzz/scratch.h"
#include "fuzz/targets.h"
#include "littlebit/config/option_group.h"
#include "littlebit/config/option_tree.h"
#include "littlebit/core/hash.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"
#include "littlebit/data/options.h"
#include "littlebit/data/token_file.h"
#include "littlebit/io/hf_folder.h"
#include "littlebit/io/json.h"
#include "littlebit/io/safetensors.h"
#include "littlebit/io/safetensors_writer.h"

namespace littlebit::test {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kJsonWords = {"{",
                                             "}",
                                             "[",
                                             "]",
                                             ",",
                                             ":",
                                             "\"",
                                             "null",
                                             "true",
                                             "{}",
                                             "[]",
                                             "\"\"",
                                             "\\u0000",
                                             "\\ud800",
                                             "\"a\":1,",
                                             "[[[[",
                                             "\xEF\xBB\xBF",
                                             "\xFF",
                                             std::string(1, '\0')};

std::vector<std::string> with(std::vector<std::string> words, std::vector<std::string> more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

std::string bytes_of(const fs::path& file) { return read_file(file); }

// --- safetensors ---

std::string small_safetensors(const std::vector<std::string>& names) {
  SafetensorsWriter writer(scratch() / "seed.safetensors");
  writer.set_metadata({{"format", "pt"}});
  for (size_t i = 0; i < names.size(); ++i) {
    writer.declare(names[i], i % 2 == 0 ? Dtype::kF32 : Dtype::kBF16, {2, 3});
  }
  std::string data;
  for (size_t i = 0; i < names.size(); ++i) data += std::string(i % 2 == 0 ? 24 : 12, 'x');
  writer.write(std::as_bytes(std::span(data)));
  writer.commit();
  return bytes_of(scratch() / "seed.safetensors");
}

bool run_safetensors(std::string_view bytes) {
  const fs::path path = put(scratch() / "fuzz.safetensors", bytes);
  return accepts([&] {
    const SafetensorsFile file(path);
    uint64_t total = 0;
    for (const TensorView& tensor : file.tensors()) {
      const auto size = static_cast<uint64_t>(tensor.numel()) * dtype_size(tensor.dtype);
      const bool known = tensor.dtype != Dtype::kOther;
      if (known && size != tensor.data.size())
        finding("a tensor's bytes are not those of its shape");
      total += size;
      if (!tensor.data.empty() && tensor.data.front() == std::byte{1} &&
          tensor.data.back() == std::byte{2}) {
        ++total;  // so that the bytes are really read
        --total;
      }
      if (file.find(tensor.name) != &tensor) finding("a tensor is not found by its name");
    }
    if (total + 8 > bytes.size()) finding("tensors beyond the file");
  });
}

// --- the index of a sharded folder ---

const fs::path& sharded_folder() {
  static const fs::path folder = [] {
    const fs::path made = scratch() / "sharded";
    fs::create_directories(made);
    put(made / "config.json", "{}");
    put(made / "a.safetensors", small_safetensors({"x", "y"}));
    put(made / "b.safetensors", small_safetensors({"z"}));
    return made;
  }();
  return folder;
}

bool run_index(std::string_view bytes) {
  put(sharded_folder() / "model.safetensors.index.json", bytes);
  return accepts([&] {
    HfFolder folder(sharded_folder());
    folder.open_tensors();
    for (const std::string& name : folder.names()) folder.require(name);
    if (!folder.unused().empty() || folder.names().size() > 3) finding("tensors from nowhere");
  });
}

// --- JSON text ---

bool run_json(std::string_view bytes) {
  return accepts([&] {
    const Json value = parse_json(bytes, "fuzz");
    if (parse_json(to_json_line(value), "again") != value) finding("JSON does not come back");
  });
}

// --- YAML configuration ---

struct EveryKind {
  bool flag = true;
  int64_t integer = 3;
  double number = 0.5;
  std::string text = "t";
  std::vector<std::string> texts = {"a"};
  void declare(OptionGroup& group) {
    group.flag("flag", &flag, "A flag.");
    group.integer("integer", &integer, {.min = 0, .max = 1 << 20}, "An integer.");
    group.number("number", &number, {.min = -1e6, .max = 1e6}, "A number.");
    group.text("text", &text, "A text.");
    group.texts("texts", &texts, "Texts.");
  }
};

std::string resolved(std::string_view yaml) {
  EveryKind kinds;
  DataOptions data;
  OptionTree tree;
  tree.add("kinds", "", kinds);
  tree.add("data", "", data);
  tree.load_yaml_text(yaml, "fuzz.yaml");
  tree.finish();
  return tree.to_yaml(/*with_origins=*/false);
}

bool run_yaml(std::string_view bytes) {
  return accepts([&] {
    const std::string once = resolved(bytes);
    if (resolved(once) != once) finding("resolved options do not come back:\n" + once);
  });
}

// --- token files ---

std::string small_token_file() {
  TokenFileWriter writer(scratch() / "seed.bin", std::string(32, 'a'));
  writer.add_document(std::vector<int32_t>{1, 2, 3});
  writer.add_document(std::vector<int32_t>{});
  writer.add_document(std::vector<int32_t>{4, 5});
  writer.commit();
  return bytes_of(scratch() / "seed.bin");
}

void read_tokens(std::string_view bytes) {
  const TokenFile file(put(scratch() / "fuzz.bin", bytes));
  int64_t sum = 0;
  const auto starts = file.document_starts();
  for (size_t d = 0; d + 1 < starts.size(); ++d) {
    for (uint64_t i = starts[d]; i < starts[d + 1]; ++i) sum += file.tokens()[i];
  }
  if (starts.back() != file.tokens().size()) finding("documents do not end with the tokens");
  if (sum == 1) return;  // so that the tokens are really read
}

// As they are, and with their checksum put right, which gets most of the damage past it.
bool run_tokens(std::string_view bytes) {
  constexpr size_t kHeader = 64, kDigits = 32, kMagic = 8;
  const bool as_it_is = accepts([&] { read_tokens(bytes); });
  if (bytes.size() < kHeader + kDigits + kMagic) return as_it_is;
  std::string repaired(bytes);
  const size_t at = bytes.size() - kMagic - kDigits;
  repaired.replace(at, kDigits, content_hash(bytes.substr(kHeader, at - kHeader)));
  return accepts([&] { read_tokens(repaired); }) || as_it_is;
}

}  // namespace

std::vector<FuzzTarget> file_targets() {
  const std::string yaml =
      "kinds:\n  flag: false\n  integer: 10\n  number: 1e-3  # a comment\n  text: 'it''s'\n"
      "  texts: [a, \"b\\n\", &c c, *c]\ndata:\n  train:\n    - path: a.txt\n      weight: 0.5\n"
      "    - {path: b.jsonl, format: jsonl, field: content}\n  sequence_length: 128\n"
      "  shuffle: false\n  blocking: reference\n";
  return {
      {"safetensors",
       {small_safetensors({"model.embed_tokens.weight", "b", "c"}), small_safetensors({})},
       with(kJsonWords, {"\"dtype\"", "\"shape\"", "\"data_offsets\"", "\"F32\"", "\"I64\"",
                         "\"__metadata__\"", "[0,24]", "[2, 3]"}),
       run_safetensors},
      {"index",
       {R"({"metadata": {"total_size": 96}, "weight_map": {"x": "a.safetensors", "y":)"
        R"( "a.safetensors", "z": "b.safetensors"}})"},
       with(kJsonWords, {"\"weight_map\"", "\"a.safetensors\"", "\"b.safetensors\"", "../", "/",
                         "\"x\"", "\"z\"", "\\u0000"}),
       run_index},
      {"json",
       {R"({"a": [1, -2.5e3, true, null, "caf\u00e9 \ud83d\ude00\n"], "b": {"c": {}, "d": [[]]}})",
        "[0.1, 1e300, 18446744073709551615, -9223372036854775808]"},
       kJsonWords,
       run_json},
      {"yaml",
       {yaml, "data: {train: corpus.txt}\nkinds: {texts: one, number: .5}\n"},
       {"- ",          ": ",     "\n",     "  ",    "\t",   "#",
        "&a ",         "*a",     "!!str ", "!",     "|\n",  ">\n",
        "---\n",       "...\n",  "<<: ",   "{",     "}",    "[",
        "]",           "'",      "\"",     "~",     "null", "? ",
        "%YAML 1.1\n", "kinds:", "data:",  "train", "path", "\xEF\xBB\xBF",
        "\\x",         "0x",     "0o7",    ".inf",  ".nan"},
       run_yaml},
      {"tokens", {small_token_file()}, {"LBTOKENS", "SNEKOTBL"}, run_tokens},
  };
}

}  // namespace littlebit::test
