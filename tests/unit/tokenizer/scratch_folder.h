// A fresh folder for one test, removed with everything in it; and copies of fixtures to change in
// it.
#pragma once

#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "support/paths.h"

namespace littlebit {

class TokenizerFolder {
 public:
  TokenizerFolder() {
    static std::atomic<int> count{0};
    path_ = std::filesystem::temp_directory_path() /
            ("littlebit-tokenizer-" + std::to_string(::getpid()) + "-" + std::to_string(count++));
    std::filesystem::create_directories(path_);
  }
  TokenizerFolder(const TokenizerFolder&) = delete;
  TokenizerFolder& operator=(const TokenizerFolder&) = delete;
  ~TokenizerFolder() { std::filesystem::remove_all(path_); }

  const std::filesystem::path& path() const { return path_; }
  void write(const std::string& name, std::string_view bytes) const {
    std::ofstream(path_ / name, std::ios::binary) << bytes;
  }
  void copy(const std::filesystem::path& file) const {
    std::filesystem::copy_file(file, path_ / file.filename());
  }

 private:
  std::filesystem::path path_;
};

inline std::filesystem::path tokenizer_fixture(std::string_view family) {
  return std::filesystem::path(littlebit::test::kSourceDir) / "tests/golden/tokenizers" / family;
}

}  // namespace littlebit
