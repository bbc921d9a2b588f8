// Runs a tokenizer over a fixture's expected.json: ids with and without special tokens, and the
// decoded text.
#pragma once

#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "littlebit/io/json.h"
#include "littlebit/tokenizer/tokenizer.h"

namespace littlebit {

inline void check_expected(const Tokenizer& tokenizer, const std::filesystem::path& expected) {
  Json json = read_json_file(expected);
  REQUIRE(json.at("cases").size() > 100);
  for (const auto& item : json.at("cases")) {
    std::string text = item.at("text");
    CAPTURE(expected, text);
    auto ids = item.at("ids").get<std::vector<int32_t>>();
    CHECK(tokenizer.encode(text, false) == ids);
    CHECK(tokenizer.encode(text, true) == item.at("ids_with_special").get<std::vector<int32_t>>());
    CHECK(tokenizer.decode(ids) == item.value("decoded", text));
  }
}

}  // namespace littlebit
