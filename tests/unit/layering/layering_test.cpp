// The order of rooms and the borders of third-party code, read off the #include lines
// (docs/architecture.md).
#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"
#include "support/paths.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using Rooms = std::set<std::string>;

// From left to right: a room includes only rooms of groups to its right, and itself.
const std::vector<Rooms> kOrder = {{"apps"},
                                   {"bench", "commands"},
                                   {"train"},
                                   {"report"},
                                   {"eval"},
                                   {"export", "checkpoint"},
                                   {"distill"},
                                   {"optim"},
                                   {"quant"},
                                   {"models"},
                                   {"nn"},
                                   {"ops"},
                                   {"data"},
                                   {"distributed"},
                                   {"device"},
                                   {"kernels"},
                                   {"tokenizer", "logging"},
                                   {"io"},
                                   {"config"},
                                   {"core"}};

// Headers whose path begins so may be included by these rooms only.
struct Border {
  std::string header;
  Rooms allowed;
};
const std::vector<Border> kBorders = {
    {"yaml-cpp/", {"config"}},
    {"sentencepiece", {"tokenizer"}},
    {"pcre2", {"tokenizer"}},
    {"CLI/", {"apps"}},
    {"spdlog/", {"logging"}},
    {"fmt/", {"logging"}},
    {"torch/torch.h", {}},
    {"torch/csrc/distributed/", {"distributed"}},
    {"cuda", {}},
    {"nccl", {"distributed"}},
    {"immintrin.h", {"kernels"}},
    {"x86intrin.h", {"kernels"}},
    {"arm_neon.h", {"kernels"}},
};
const Rooms kTorchFree = {"core",    "config",  "io",   "tokenizer",
                          "logging", "kernels", "data", "report"};
const std::vector<std::string> kTorchFolders = {"ATen/", "c10/", "torch/", "caffe2/"};

size_t place_of(const std::string& room) {
  for (size_t i = 0; i < kOrder.size(); ++i) {
    if (kOrder[i].count(room) > 0) return i;
  }
  return kOrder.size();
}

bool is_room(const std::string& name) { return place_of(name) < kOrder.size(); }

// "include/littlebit/io/json.h" -> "io", "src/io/json.cpp" -> "io", "apps/x.cpp" -> "apps"
std::string room_of(const fs::path& file) {
  const std::vector<std::string> parts = split(file.generic_string(), '/');
  if (parts[0] == "apps") return "apps";
  if (parts[0] == "src" && parts.size() > 2) return parts[1];
  if (parts[0] == "include" && parts.size() > 3 && parts[1] == "littlebit") return parts[2];
  return "";
}

bool is_public(const fs::path& file) { return file.generic_string().starts_with("include/"); }

std::string without_comment(const std::string& line) { return line.substr(0, line.find("//")); }

// The path between the quotes or angle brackets of an #include line, else "".
std::string included_path(const std::string& line) {
  std::string_view rest = trim(line);
  if (!rest.starts_with('#')) return "";
  rest = trim(rest.substr(1));
  if (!rest.starts_with("include")) return "";
  rest = trim(rest.substr(std::string_view("include").size()));
  const size_t end = rest.find_first_of("\">", 1);
  return rest.empty() || end == std::string_view::npos ? "" : std::string(rest.substr(1, end - 1));
}

std::string why_not_room(const std::string& room, const fs::path& file, const std::string& path) {
  const std::vector<std::string> parts = split(path, '/');
  const bool published = parts[0] == "littlebit" && parts.size() > 2;
  const std::string other = published ? parts[1] : parts[0];
  if (published && !is_room(other)) return "no room of that name";
  if (!published && (parts.size() < 2 || !is_room(other))) return "";  // no header of a room
  if (!published && is_public(file)) return "a contract includes the inside of a room";
  if (!published && other != room) return "the inside of another room";
  if (other == room) return "";
  if (place_of(other) <= place_of(room)) return "room " + room + " does not stand left of " + other;
  return "";
}

std::string why_not_border(const std::string& room, const fs::path& file, const std::string& path) {
  for (const Border& border : kBorders) {
    if (path.starts_with(border.header) && border.allowed.count(room) == 0) {
      return "not for room " + room;
    }
  }
  for (const std::string& folder : kTorchFolders) {
    if (path.starts_with(folder) && kTorchFree.count(room) > 0) return "room without torch";
  }
  if (path == "nlohmann/json.hpp" && is_public(file)) return "contracts use nlohmann/json_fwd.hpp";
  return "";
}

// What is wrong with one file, a line each: "path:line: what (why)".
std::vector<std::string> violations(const fs::path& file, const std::string& text) {
  std::vector<std::string> found;
  const std::string room = room_of(file);
  if (!is_room(room)) return {file.string() + ": not in a room"};
  const bool header = file.extension() == ".h";
  if (header && !text.starts_with("//")) {
    found.push_back(file.string() + ": begins without a comment");
  }
  bool once = false;
  int number = 0;
  for (const std::string& raw : split(text, '\n')) {
    const std::string at = file.string() + ":" + std::to_string(++number) + ": ";
    const std::string line = without_comment(raw);
    once = once || trim(line) == "#pragma once";
    const std::string path = included_path(line);
    if (!path.empty()) {
      for (const std::string& why :
           {why_not_room(room, file, path), why_not_border(room, file, path)}) {
        if (!why.empty()) found.push_back(at + path + " (" + why + ")");
      }
    }
    for (const char* call : {"json::parse(", "Json::parse(", ".dump("}) {
      if (room != "io" && line.find(call) != std::string::npos) {
        found.push_back(at + call + " (JSON text is read and written in io only)");
      }
    }
  }
  if (header && !once) found.push_back(file.string() + ": no #pragma once");
  return found;
}

TEST_CASE("rooms include only what stands right of them, and nobody crosses a border") {
  const fs::path root = littlebit::test::kSourceDir;
  std::vector<std::string> found;
  std::map<std::string, int> files_of_room;
  for (const char* top : {"include", "src", "apps"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / top)) {
      const std::string extension = entry.path().extension().string();
      if (extension != ".h" && extension != ".cpp" && extension != ".cc" && extension != ".cu") {
        continue;
      }
      const fs::path file = fs::relative(entry.path(), root);
      ++files_of_room[room_of(file)];
      for (std::string& each : violations(file, read_file(entry.path()))) {
        found.push_back(std::move(each));
      }
    }
  }
  std::sort(found.begin(), found.end());
  INFO(join(found, "\n"));
  CHECK(found.empty());
  for (const char* room : {"core", "config", "io", "logging"}) CHECK(files_of_room[room] >= 4);
}

TEST_CASE("every rule can be broken") {
  const auto wrong = [](const char* file, const std::string& line) {
    return join(violations(file, "// What it is.\n#pragma once\n" + line + "\n"), "\n");
  };
  // Allowed.
  CHECK(wrong("src/quant/a.cpp", "#include \"littlebit/models/decoder.h\"").empty());
  CHECK(wrong("src/quant/a.cpp", "#include \"quant/inside.h\"").empty());
  CHECK(wrong("src/quant/a.cpp", "#include <ATen/ATen.h>").empty());
  CHECK(wrong("src/data/a.cpp", "#include <nlohmann/json.hpp>").empty());
  CHECK(wrong("src/config/a.cpp", "  #  include <yaml-cpp/parser.h>").empty());
  CHECK(wrong("src/io/a.cpp", "return json::parse(text).dump();").empty());
  CHECK(wrong("apps/a.cpp", "#include <CLI/CLI.hpp>").empty());
  CHECK(wrong("src/distributed/a.cpp", "#include <torch/csrc/distributed/c10d/Store.hpp>").empty());
  CHECK(wrong("src/core/a.cpp", "// #include \"littlebit/io/json.h\"").empty());
  CHECK(wrong("src/core/a.cpp", "#include <sys/stat.h>").empty());

  // The order of rooms.
  CHECK_THAT(wrong("src/core/a.cpp", "#include \"littlebit/io/json.h\""),
             Contains("src/core/a.cpp:3: littlebit/io/json.h"));
  CHECK_THAT(wrong("include/littlebit/io/a.h", "#include \"littlebit/logging/console.h\""),
             Contains("does not stand left of"));
  CHECK_THAT(wrong("src/tokenizer/a.cpp", "#include \"littlebit/logging/console.h\""),
             Contains("does not stand left of"));  // one group
  CHECK_THAT(wrong("src/config/a.cpp", "#include\t\"littlebit/data/options.h\""), Contains(":3:"));
  CHECK_THAT(wrong("src/train/a.cpp", "#include \"quant/inside.h\""), Contains("another room"));
  CHECK_THAT(wrong("include/littlebit/quant/a.h", "#include \"quant/inside.h\""),
             Contains("inside of a room"));
  CHECK_THAT(wrong("src/train/a.cpp", "#include \"littlebit/kitchen/a.h\""), Contains("no room"));
  CHECK_THAT(wrong("src/kitchen/a.cpp", ""), Contains("not in a room"));
  CHECK_THAT(wrong("src/a.cpp", ""), Contains("not in a room"));

  // Third-party code.
  CHECK_THAT(wrong("src/data/a.cpp", "#include <yaml-cpp/yaml.h>"), Contains(":3:"));
  CHECK_THAT(wrong("src/data/a.cpp", "#include <sentencepiece_processor.h>"), Contains(":3:"));
  CHECK_THAT(wrong("src/io/a.cpp", "#include <pcre2.h>"), Contains(":3:"));
  CHECK_THAT(wrong("src/train/a.cpp", "#include <CLI/CLI.hpp>"), Contains(":3:"));
  CHECK_THAT(wrong("src/train/a.cpp", "#include <spdlog/spdlog.h>"), Contains(":3:"));
  CHECK_THAT(wrong("src/nn/a.cpp", "#include <torch/torch.h>"), Contains(":3:"));
  CHECK_THAT(wrong("src/train/a.cpp", "#include <torch/csrc/distributed/c10d/Store.hpp>"),
             Contains(":3:"));
  CHECK_THAT(wrong("src/nn/a.cpp", "#include <immintrin.h>"), Contains(":3:"));
  CHECK_THAT(wrong("src/nn/a.cpp", "#include <cuda_runtime.h>"), Contains(":3:"));
  for (const std::string& room : kTorchFree) {
    const std::string file = "src/" + room + "/a.cpp";
    CHECK_THAT(wrong(file.c_str(), "#include <ATen/ATen.h>"), Contains("without torch"));
    CHECK_THAT(wrong(file.c_str(), "#include <c10/util/Half.h>"), Contains("without torch"));
    CHECK_THAT(wrong(file.c_str(), "#include <torch/library.h>"), Contains("without torch"));
  }
  CHECK_THAT(wrong("include/littlebit/io/a.h", "#include <nlohmann/json.hpp>"),
             Contains("json_fwd.hpp"));
  CHECK_THAT(wrong("src/eval/a.cpp", "auto x = nlohmann::json::parse(text);"), Contains("JSON"));
  CHECK_THAT(wrong("src/eval/a.cpp", "auto x = Json::parse(text);"), Contains("JSON"));
  CHECK_THAT(wrong("src/eval/a.cpp", "file.write(value.dump(2));"), Contains("JSON"));

  // The form of a file.
  CHECK(violations("include/littlebit/io/a.h", "// What it is.\nint x;\n").size() == 1);
  CHECK(violations("include/littlebit/io/a.h", "#pragma once\n").size() == 1);
  CHECK(violations("src/io/a.h", "int x;\n").size() == 2);
  CHECK(violations("src/io/a.cpp", "int x;\n").empty());
}

}  // namespace
}  // namespace littlebit
