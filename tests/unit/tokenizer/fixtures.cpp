// Finds, unpacks and loads the fixtures, each once per process. A family whose files are not there
// is counted as skipped.
#include "unit/tokenizer/fixtures.h"

#include <zlib.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "littlebit/io/json.h"
#include "littlebit/tokenizer/folder.h"
#include "support/paths.h"
#include "unit/tokenizer/scratch_folder.h"

namespace littlebit {
namespace {

// Qwen3's folder is vocab.json + merges.txt, and the same vocabulary as Qwen2's tokenizer.json.
void write_qwen3(const TokenizerFolder& folder) {
  Json model =
      parse_json(read_gzip(tokenizer_fixtures() / "qwen2/tokenizer.json.gz"), "qwen2").at("model");
  folder.write("vocab.json", to_json_line(model.at("vocab")));
  std::string merges = "#version: 0.2\n";
  for (const auto& merge : model.at("merges"))
    merges += merge[0].get<std::string>() + " " + merge[1].get<std::string>() + "\n";
  folder.write("merges.txt", merges);
}

std::unique_ptr<Tokenizer> load(const std::string& family) {
  auto own = tokenizer_fixtures() / family;
  bool complete = family == "qwen3";
  for (const auto& entry : std::filesystem::directory_iterator(own))
    complete |= entry.path().filename().string().starts_with("tokenizer.");
  if (!complete) {
    auto outside = outside_fixtures() / "tokenizers" / family;
    if (outside_fixtures().empty() || !std::filesystem::is_directory(outside)) return nullptr;
    return load_tokenizer(outside);
  }
  TokenizerFolder folder;
  for (const auto& entry : std::filesystem::directory_iterator(own)) {
    if (entry.path().extension() == ".gz")
      folder.write(entry.path().stem(), read_gzip(entry.path()));
    else
      folder.copy(entry.path());
  }
  if (family == "qwen3") write_qwen3(folder);
  return load_tokenizer(folder.path());
}

}  // namespace

std::filesystem::path tokenizer_fixtures() {
  return std::filesystem::path(littlebit::test::kSourceDir) / "tests/golden/tokenizers";
}

std::vector<std::string> tokenizer_families() {
  return {"gemma_style", "gpt2", "llama2",    "llama3", "mistral_v1", "mistral_v3",  "opt",
          "phi3",        "phi4", "phi4_mini", "qwen2",  "qwen3",      "stories260k", "wiki_llama"};
}

const Tokenizer* family_tokenizer(const std::string& family) {
  static std::map<std::string, std::unique_ptr<Tokenizer>> loaded;
  auto it = loaded.find(family);
  if (it == loaded.end()) {
    it = loaded.emplace(family, load(family)).first;
    if (!it->second)
      print_skipped("tokenizer family " + family,
                    "LITTLEBIT_FIXTURES names no folder with its files");
  }
  return it->second.get();
}

std::filesystem::path outside_fixtures() {
  const char* folder = std::getenv("LITTLEBIT_FIXTURES");
  return folder ? folder : "";
}

void print_skipped(const std::string& what, const std::string& why) {
  std::cout << "skipped: " << what << " (" << why << ")" << std::endl;
}

std::string read_gzip(const std::filesystem::path& file) {
  gzFile in = gzopen(file.c_str(), "rb");
  REQUIRE(in != nullptr);
  std::string text;
  char block[1 << 16];
  int got = 0;
  while ((got = gzread(in, block, sizeof block)) > 0) text.append(block, static_cast<size_t>(got));
  REQUIRE(got == 0);
  gzclose(in);
  return text;
}

}  // namespace littlebit
