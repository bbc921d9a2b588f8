// What is read off the source: few files know where a tensor lies in a flat buffer, a step waits
// for the device once, and few ask of what kind it is.
#include <catch2/catch.hpp>
#include <filesystem>
#include <map>
#include <regex>
#include <string>

#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"
#include "support/paths.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

// Lines of each source file of those rooms that match, comments left out.
std::map<std::string, std::vector<std::string>> matches(const std::vector<std::string>& rooms,
                                                        const std::regex& pattern) {
  const fs::path root = littlebit::test::kSourceDir;
  std::map<std::string, std::vector<std::string>> found;
  int files = 0;
  for (const std::string& room : rooms) {
    for (const auto& entry : fs::recursive_directory_iterator(root / "src" / room)) {
      if (!entry.is_regular_file()) continue;
      ++files;
      for (const std::string& line : split(read_file(entry.path()), '\n')) {
        const std::string code = line.substr(0, line.find("//"));
        if (!std::regex_search(code, pattern)) continue;
        found[fs::relative(entry.path(), root / "src").string()].emplace_back(trim(code));
      }
    }
  }
  REQUIRE(files > 3);
  return found;
}

TEST_CASE("four files know where a tensor lies in a flat buffer") {
  // A segment's offset, or its view of a whole buffer.
  const std::regex knows(R"(\.offset\b|->offset\b|(segment|latents\[.*\]|vectors\[.*\])\.view\()");
  std::vector<std::string> files;
  for (const auto& [file, lines] :
       matches({"quant", "optim", "distill", "checkpoint", "export", "eval", "train", "bench"},
               knows)) {
    files.push_back(file);
  }
  CHECK(files == std::vector<std::string>{"optim/gradients.cpp", "optim/group_state.cpp",
                                          "quant/group_layout.cpp", "quant/student.cpp"});
}

TEST_CASE("a step waits for the device once, when it reads what it records") {
  const std::regex waits(R"(\.item\b|\.item<|\.cpu\(\)|\.to\(at::kCPU|synchronize\(|\.equal\()");
  CHECK(matches({"distill"}, waits).empty());
  for (const auto& [file, lines] : matches({"optim"}, waits)) {
    CHECK(file == "optim/optimizer.cpp");
    CHECK(lines.size() == 2);  // read_gradient_norm() and read_sign_flip_fraction(), of tests
  }
  const auto in_train = matches({"train"}, waits);
  REQUIRE(in_train.count("train/trainer.cpp") == 1);
  CHECK(in_train.at("train/trainer.cpp").size() == 1);
  CHECK(in_train.count("train/loop.cpp") == 0);
  CHECK(matches({"train"}, std::regex(R"(read_(gradient_norm|sign_flip_fraction|kl|hidden)\()"))
            .count("train/trainer.cpp") == 0);
}

TEST_CASE("no room beside ops and device asks of what kind a device is") {
  const std::vector<std::string> others = {"bench",      "train",   "eval",  "export",
                                           "checkpoint", "distill", "optim", "quant",
                                           "models",     "nn",      "data",  "distributed"};
  const std::regex asks(R"(\bis_(cpu|cuda)\(|\btype\(\) [!=]= (at|c10)::(kCPU|kCUDA))");
  for (const auto& [file, lines] : matches(others, asks)) FAIL_CHECK(file + ": " + lines[0]);
  CHECK(matches({"device"}, asks).size() == 5);
}

}  // namespace
}  // namespace littlebit
