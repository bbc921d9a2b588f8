// What a run left in metrics.jsonl, for comparing runs.
#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "littlebit/io/json.h"

namespace littlebit::test {

// Lines without what tells the time.
inline std::vector<Json> metrics_without_times(const std::filesystem::path& run) {
  std::ifstream stream(run / "metrics.jsonl");
  std::vector<Json> lines;
  for (std::string line; std::getline(stream, line);) {
    lines.push_back(parse_json(line, "metrics"));
    lines.back().erase("seconds");
    lines.back().erase("tokens_per_second");
    lines.back().erase("seconds_by_part");
    lines.back().erase("product_share");
  }
  return lines;
}

}  // namespace littlebit::test
