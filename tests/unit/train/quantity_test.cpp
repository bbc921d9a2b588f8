// Amounts of memory and rates as a command line gives them.
#include "littlebit/train/quantity.h"

#include <catch2/catch.hpp>

#include "littlebit/core/error.h"

using namespace littlebit;
using Catch::Matchers::Contains;

TEST_CASE("amounts of bytes, by tens and by twos") {
  const auto bytes = [](const char* text) { return parse_bytes(text, "--size"); };
  CHECK(bytes("80GiB") == 80.0 * 1024 * 1024 * 1024);
  CHECK(bytes("24 GB") == 24e9);
  CHECK(bytes("0.5TiB") == 512.0 * 1024 * 1024 * 1024);
  CHECK(bytes("512kB") == 512e3);
  CHECK(bytes("7B") == 7);
}

TEST_CASE("rates in bits and in bytes") {
  const auto rate = [](const char* text) { return parse_bandwidth(text, "--rate"); };
  CHECK(rate("400Gb/s") == 50e9);
  CHECK(rate("25GB/s") == 25e9);
  CHECK(rate("900 GiB/s") == 900.0 * 1024 * 1024 * 1024);
  CHECK(rate("8b/s") == 1);
}

TEST_CASE("what is no amount is refused with examples") {
  for (const char* text : {"", "80", "GiB", "80Gb", "-1GB", "0B", "80GiBs", "80XB", "infB", "nanB",
                           "80GG B", "80 G B", "0x10B"}) {
    INFO(text);
    CHECK_THROWS_WITH(parse_bytes(text, "--device-memory"),
                      Contains("--device-memory was given \"" + std::string(text) + "\""));
  }
  for (const char* text : {"400Gb", "400", "Gb/s", "400Gb/m"}) {
    INFO(text);
    CHECK_THROWS_AS(parse_bandwidth(text, "--bandwidth"), Error);
  }
}
