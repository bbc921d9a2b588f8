// What reaches stderr, on a terminal and elsewhere, and the log file.
#include "littlebit/logging/console.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>
#include <chrono>
#include <thread>

#include "littlebit/core/error.h"
#include "littlebit/core/fault_hook.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"
#include "littlebit/core/write_file.h"
#include "littlebit/logging/progress.h"
#include "littlebit/logging/table.h"
#include "unit/logging/child_stderr.h"

namespace littlebit {
namespace {

using Catch::Matchers::Contains;
using Catch::Matchers::Equals;

void log_all() {
  log_info("one");
  log_warning("two");
  log_error("three", "try four");
  log_error("five");
}

TEST_CASE("messages off a terminal are plain") {
  CHECK_THAT(stderr_of(log_all),
             Equals("one\nwarning: two\nerror: three\nhint: try four\nerror: five\n"));
}

TEST_CASE("messages on a terminal are coloured, unless NO_COLOR says no") {
  unsetenv("NO_COLOR");
  CHECK_THAT(terminal_of(log_all), Equals("one\r\n\x1b[33mwarning:\x1b[0m two\r\n"
                                          "\x1b[1;31merror:\x1b[0m three\r\nhint: try four\r\n"
                                          "\x1b[1;31merror:\x1b[0m five\r\n"));
  CHECK_THAT(terminal_of([] {
               setenv("NO_COLOR", "1", 1);
               log_all();
             }),
             Equals("one\r\nwarning: two\r\nerror: three\r\nhint: try four\r\nerror: five\r\n"));
  CHECK_THAT(terminal_of([] {
               setenv("TERM", "dumb", 1);
               log_warning("two");
             }),
             Equals("warning: two\r\n"));
}

TEST_CASE("control characters in messages do not reach the terminal") {
  CHECK_THAT(stderr_of([] { log_info("a\x1b[2J\tb\x07\r\x7f {} %s"); }),
             Equals("a\\x1b[2J\tb\\x07\\x0d\\x7f {} %s\n"));
}

TEST_CASE("the log file holds the same messages with times") {
  const TempFolder folder;
  const auto path = folder / "log";
  write_file(path, "before\n");
  const std::string seen = terminal_of([&] {
    open_log_file(path);
    log_all();
    try {
      open_log_file(folder / "log/below");
    } catch (const OutputError&) {
      log_info("refused");
    }
  });
  CHECK_THAT(seen, Contains("one"));
  const std::vector<std::string> lines = split(read_file(path), '\n');
  REQUIRE(lines.size() == 8);
  CHECK(lines[0] == "before");
  CHECK_THAT(lines[1], Catch::Matches(R"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} info: one)"));
  CHECK_THAT(lines[2], Contains(" warning: two"));
  CHECK_THAT(lines[3], Contains(" error: three"));
  CHECK(lines[4] == "hint: try four");
  CHECK_THAT(lines[6], Contains(" info: refused"));
  CHECK(lines[7].empty());
}

TEST_CASE("a log file on a full disk is given up, the messages go on") {
  const TempFolder folder;
  const std::string seen = stderr_of([&] {
    open_log_file(folder / "log");
    set_fault_hook([](std::string_view, const std::filesystem::path&) { return ENOSPC; });
    log_info("one");
    log_info("two");
  });
  CHECK_THAT(seen, Contains("one\n") && Contains("two\n") &&
                       Contains("warning: nothing more is written to the log file: ") &&
                       Contains("No space"));
  CHECK(seen.find("nothing more is written") == seen.rfind("nothing more is written"));
}

TEST_CASE("progress off a terminal: plain lines, not too often") {
  const std::string rare = stderr_of([] {
    Progress progress("hashing", 200, "files");
    for (int i = 1; i <= 200; ++i) progress.update(i);
    progress.finish("all well");
    progress.finish("twice");
    progress.update(3);
  });
  CHECK_THAT(rare, Catch::Matches(R"(hashing: 200 files in \d+\.\d s(, .* files/s)?; all well\n)"));
  const std::string each = stderr_of([] {
    Progress progress("factorising", 4, "layers", 0);
    progress.update(1, "rank 8");
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    progress.update(2);
  });
  const std::vector<std::string> lines = split(each, '\n');
  REQUIRE(lines.size() == 3);
  CHECK_THAT(lines[0], Contains("factorising: 25% (1 of 4 layers)") && Contains("; rank 8"));
  CHECK_THAT(lines[1], Contains("factorising: 50% (2 of 4 layers), ") && Contains(" layers/s, ") &&
                           Contains(" s left"));
}

TEST_CASE("progress tells the rate since it began, of a resumed run too") {
  const auto line = [](int64_t total, int64_t first, int64_t done, const std::string& unit) {
    return stderr_of([=] {
      Progress progress("x", total, unit, 0.5, first);
      std::this_thread::sleep_for(std::chrono::milliseconds(500));
      progress.update(done);
    });
  };
  // Half a second at least, more on a busy machine.
  CHECK_THAT(
      line(1100, 1000, 1050, "steps"),
      Catch::Matches(R"(x: 95% \(1,050 of 1,100 steps\), (100\.0|\d?\d\.\d) steps/s, .* left\n)"));
  CHECK_THAT(line(1 << 20, 0, 1 << 19, "B"),
             Catch::Matches(R"(x: 50% \(512\.00 KiB of 1\.00 MiB\), [\d.]+ [KM]iB/s, .* left\n)"));
  CHECK_THAT(line(0, 0, 100, "rows"), Catch::Matches(R"(x: 100 rows, [\d.]+ rows/s\n)"));
}

TEST_CASE("progress of less than one a second tells the seconds of one") {
  for (const auto& [unit, one] : {std::pair{"steps", "step"}, {"passes", "pass"}}) {
    const std::string seen = stderr_of([unit = unit] {
      Progress progress("x", 3, unit, 0.5);
      std::this_thread::sleep_for(std::chrono::milliseconds(1100));
      progress.update(1);
    });
    CHECK_THAT(seen, Catch::Matches(R"(x: 33% \(1 of 3 )" + std::string(unit) +
                                    R"(\), \d+\.\d s/)" + one + R"(, .* left\n)"));
  }
}

TEST_CASE("progress on a terminal rewrites one line and makes room for messages") {
  const std::string seen = terminal_of(
      [] {
        Progress progress("work", 3000, "steps");
        const auto start = std::chrono::steady_clock::now();
        for (int i = 1; i <= 2999; ++i) progress.update(i, "a note too long for the line");
        const auto spent = std::chrono::steady_clock::now() - start;
        log_info("tenths " + std::to_string(spent / std::chrono::milliseconds(100)));
        progress.finish();
      },
      60);
  INFO(seen);
  CHECK_THAT(seen, Catch::StartsWith("\rwork  [                    ] 0%  1/3,000 steps"));
  CHECK_THAT(seen, Contains("\r\x1b[Ktenths ") && Contains("\n\rwork  ["));
  CHECK_THAT(seen, Contains("\r\x1b[Kwork: 2,999 of 3,000 steps in "));
  const std::vector<std::string> parts = split(seen, '\r');
  for (const std::string& part : parts)
    CHECK(part.size() < 60 + 4);  // and the clearing of the rest
  const auto draws = std::count_if(parts.begin(), parts.end(), [](const std::string& part) {
    return part.starts_with("work  [");
  });
  // The first, one for every tenth of a second, and the one below the message.
  CHECK(draws <= 2 + std::stoi(seen.substr(seen.find("tenths ") + 7)));
}

TEST_CASE("an unfinished progress line is cleared, an older one comes back") {
  const std::string seen = terminal_of([] {
    Progress outer("outer", 2, "parts");
    outer.update(1);
    {
      Progress inner("inner", 5, "pieces");
      inner.update(1);
    }
    log_info("end");
  });
  INFO(seen);
  const size_t inner = seen.find("inner"), back = seen.find("outer", inner);
  REQUIRE(inner != std::string::npos);
  CHECK(back != std::string::npos);
  CHECK(seen.find("inner", back) == std::string::npos);
  CHECK_THAT(seen, Catch::EndsWith("\r\x1b[K"));
}

TEST_CASE("on a terminal the log file still gets plain progress lines") {
  const TempFolder folder;
  terminal_of([&] {
    open_log_file(folder / "log");
    Progress progress("work", 10, "steps", 0);
    progress.update(5, "here");
    progress.finish();
  });
  CHECK_THAT(read_file(folder / "log"),
             Contains(" info: work: 50% (5 of 10 steps)") && Contains("; here\n") &&
                 Contains(" info: work: 5 of 10 steps in ") && !Contains("\x1b"));
}

TEST_CASE("tables are aligned by characters") {
  Table table({"layer", "rank", "error"});
  table.add({"mlp.up", "544", "0.1"});
  table.add({"gr\xC3\xBC\xC3\x9F", "8", "0.25"});
  table.add({"short"});
  CHECK(table.text() ==
        "layer   rank  error\n"
        "-------------------\n"
        "mlp.up   544    0.1\n"
        "gr\xC3\xBC\xC3\x9F       8   0.25\n"
        "short\n");
  CHECK_THAT(stderr_of([&] { table.print(); }), Equals(table.text()));
}

TEST_CASE("threads may log at once") {
  const std::string seen = stderr_of([] {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([] {
        for (int i = 0; i < 100; ++i) log_info("0123456789");
      });
    }
  });
  std::string expected;
  for (int i = 0; i < 400; ++i) expected += "0123456789\n";
  CHECK(seen == expected);
}

}  // namespace
}  // namespace littlebit
