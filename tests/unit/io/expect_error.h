// Checks of errors by what they tell: the exit code and words of the message.
#pragma once

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "littlebit/core/error.h"

namespace littlebit::test {

// Runs `body`, which must throw an Error of `code` whose message holds every one of `words`.
template <class Body>
void expect_error(ExitCode code, const std::vector<std::string>& words, const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    const std::string message = error.what();
    INFO("message: " << message);
    CHECK(static_cast<int>(error.code()) == static_cast<int>(code));
    for (const std::string& word : words) {
      INFO("expected in it: " << word);
      CHECK(message.find(word) != std::string::npos);
    }
    return;
  }
  FAIL("no error was thrown");
}

template <class Body>
void expect_input_error(const std::vector<std::string>& words, const Body& body) {
  expect_error(ExitCode::kInput, words, body);
}

}  // namespace littlebit::test
