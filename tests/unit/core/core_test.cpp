// Errors, hashes, text helpers, threads and signals.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

#include "../../../src/core/cgroup.h"
#include "littlebit/core/disk_space.h"
#include "littlebit/core/error.h"
#include "littlebit/core/hash.h"
#include "littlebit/core/kill_point.h"
#include "littlebit/core/memory.h"
#include "littlebit/core/parallel.h"
#include "littlebit/core/signals.h"
#include "littlebit/core/strings.h"
#include "littlebit/core/write_file.h"
#include "temp_folder.h"

namespace littlebit {
namespace {

using Catch::Matchers::Contains;

TEST_CASE("errors carry their exit code and hint") {
  const UsageError error("what", "try this");
  CHECK(std::string(error.what()) == "what");
  CHECK(error.hint() == "try this");
  CHECK(static_cast<int>(error.code()) == 2);
  CHECK(static_cast<int>(InputError("").code()) == 3);
  CHECK(static_cast<int>(NumericsError("").code()) == 4);
  CHECK(static_cast<int>(OutputError("").code()) == 5);
  CHECK_NOTHROW([] { LB_ASSERT(1 + 1 == 2, "fine"); }());
  CHECK_THROWS_WITH([] { LB_ASSERT(1 + 1 == 3, "sums"); }(),
                    Contains("core_test.cpp") && Contains("sums") && Contains("1 + 1 == 3"));
  CHECK_THROWS_AS([] { LB_ASSERT(false, ""); }(), std::logic_error);
}

TEST_CASE("hashes are XXH3-128 in canonical form") {
  CHECK(content_hash("") == "99aa06d3014798d86001c324468d497f");
  CHECK(content_hash("a") == "a96faf705af16834e6c632b61e964e1f");
  std::string text(10000, '\0');
  std::iota(text.begin(), text.end(), '\0');
  Hasher hasher;
  for (size_t at = 0; at < text.size(); at += 333) hasher.update(text.substr(at, 333));
  CHECK(hasher.hex() == content_hash(text));
  CHECK(Hasher().hex() == content_hash(""));
  const TempFolder folder;
  write_file(folder / "a", text);
  CHECK(file_hash(folder / "a") == content_hash(text));
  text[5000] ^= 1;
  CHECK(file_hash(folder / "a") != content_hash(text));
  CHECK_THROWS_AS(file_hash(folder / "b"), InputError);
}

TEST_CASE("sizes, durations and counts for people") {
  CHECK(format_bytes(0) == "0 B");
  CHECK(format_bytes(812) == "812 B");
  CHECK(format_bytes(1023) == "1023 B");
  CHECK(format_bytes(1024) == "1.00 KiB");
  CHECK(format_bytes(10003415) == "9.54 MiB");
  CHECK(format_bytes((1ull << 30) - 1) == "1.00 GiB");
  CHECK(format_bytes(~0ull) == "16.00 EiB");
  CHECK(format_duration(0.84) == "0.8 s");
  CHECK(format_duration(9.96) == "10 s");
  CHECK(format_duration(12.2) == "12 s");
  CHECK(format_duration(59.9) == "1m 00s");
  CHECK(format_duration(185) == "3m 05s");
  CHECK(format_duration(8040) == "2h 14m");
  CHECK(format_duration(100000) == "1d 03h");
  CHECK(format_duration(-1) == "unknown");
  CHECK(format_duration(std::numeric_limits<double>::infinity()) == "unknown");
  CHECK(format_count(0) == "0");
  CHECK(format_count(999) == "999");
  CHECK(format_count(1294336) == "1,294,336");
  CHECK(format_count(-123456) == "-123,456");
  CHECK(format_count(std::numeric_limits<int64_t>::min()) == "-9,223,372,036,854,775,808");
}

TEST_CASE("join, split, trim") {
  const std::vector<std::string> parts{"a", "", "b"};
  CHECK(join(parts, ", ") == "a, , b");
  CHECK(join({}, ", ").empty());
  CHECK(split("a,,b", ',') == parts);
  CHECK(split("", ',') == std::vector<std::string>{""});
  CHECK(split("a,", ',') == std::vector<std::string>{"a", ""});
  CHECK(trim(" \t a b\r\n") == "a b");
  CHECK(trim(" \n").empty());
}

TEST_CASE("nearest_name proposes likely slips only") {
  const std::vector<std::string> names{"learning_rate", "beta1", "beta2", "weight_decay"};
  CHECK(nearest_name("learnig_rate", names) == "learning_rate");
  CHECK(nearest_name("weight-decay", names) == "weight_decay");
  CHECK(nearest_name("beta1x", names) == "beta1");
  CHECK(nearest_name("batch", names) == std::nullopt);
  CHECK(nearest_name("xyz", names) == std::nullopt);
  CHECK(nearest_name("", names) == std::nullopt);
  CHECK(nearest_name(std::string(1 << 20, 'a'), names) == std::nullopt);
  const std::vector<std::string> swapped{"on", "no"};
  CHECK(nearest_name("no", swapped) == "no");
  CHECK(nearest_name("tpye", std::vector<std::string>{"type"}) == "type");  // one swap, not two
}

TEST_CASE("invalid_utf8_at finds the first bad byte") {
  const auto at = [](std::string_view text) { return invalid_utf8_at(text); };
  constexpr size_t kNone = std::string_view::npos;
  CHECK(at("") == kNone);
  CHECK(at("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z") == kNone);
  CHECK(at(std::string_view("\0", 1)) == kNone);
  CHECK(at("\xED\x9F\xBF\xEE\x80\x80\xF4\x8F\xBF\xBF") ==
        kNone);              // around the surrogates; U+10FFFF
  CHECK(at("ab\x80") == 2);  // a continuation byte alone
  CHECK(at("ab\xC3") == 2);  // cut off
  CHECK(at("\xE2\x82") == 0);
  CHECK(at("\xC0\xAF") == 0);          // overlong, two bytes
  CHECK(at("\xE0\x9F\xBF") == 0);      // overlong, three
  CHECK(at("\xF0\x8F\xBF\xBF") == 0);  // overlong, four
  CHECK(at("x\xED\xA0\x80") == 1);     // surrogate
  CHECK(at("\xF4\x90\x80\x80") == 0);  // beyond U+10FFFF
  CHECK(at("\xFF") == 0);
  CHECK(at("\xE2\x28\xA1") == 0);
}

TEST_CASE("parallel_for does each index once") {
  for (const int threads : {0, 1, 4, 100}) {
    std::vector<std::atomic<int>> counts(57);
    parallel_for(57, threads, [&](int64_t i) { ++counts[static_cast<size_t>(i)]; });
    CHECK(std::all_of(counts.begin(), counts.end(), [](const auto& count) { return count == 1; }));
  }
  bool called = false;
  parallel_for(0, 4, [&](int64_t) { called = true; });
  CHECK_FALSE(called);
}

TEST_CASE("of several failures parallel_for tells that of the lowest index, whatever the threads") {
  for (int turn = 0; turn < 50; ++turn) {
    const auto body = [&](int64_t i) {
      if (i == 2) std::this_thread::sleep_for(std::chrono::milliseconds(2));  // later than 3 and 5
      if (i == 2 || i == 3 || i == 5) throw std::runtime_error(std::to_string(i));
    };
    CHECK_THROWS_WITH(parallel_for(100, 4, body), "2");
  }
}

TEST_CASE("parallel_for passes on an exception and skips the rest") {
  std::atomic<int> calls{0};
  const auto body = [&](int64_t i) {
    ++calls;
    if (i == 3) throw InputError("three");
  };
  CHECK_THROWS_WITH(parallel_for(1'000'000, 4, body), "three");
  CHECK(calls >= 4);
  CHECK(calls < 1'000'000);
}

TEST_CASE("the quota of a control group limits the threads") {
  const TempFolder mount;
  create_folders(mount / "a/b");
  write_file(mount / "a/cpu.max", "350000 100000\n");
  write_file(mount / "a/b/cpu.max", "max 100000\n");
  CHECK(cgroup_cpu_quota(mount.path(), "1:cpu:/x\n0::/a/b\n") == 3.5);
  CHECK(cgroup_cpu_quota(mount.path(), "0::/\n") == std::numeric_limits<double>::infinity());
  write_file(mount / "cpu.max", "150000 100000\n");
  CHECK(cgroup_cpu_quota(mount.path(), "0::/a/b\n") == 1.5);
  CHECK(cgroup_cpu_quota(mount.path(), "0::/\n") == 1.5);
  CHECK(cgroup_cpu_quota(mount.path(), "") == std::numeric_limits<double>::infinity());
  write_file(mount / "cpu.max", "nonsense");
  CHECK(cgroup_cpu_quota(mount.path(), "0::/") == std::numeric_limits<double>::infinity());
}

TEST_CASE("what control groups leave of their memory; pages of files count as free") {
  const TempFolder mount;
  create_folders(mount / "a/b");
  const double none = std::numeric_limits<double>::infinity();
  CHECK(cgroup_memory_left(mount.path(), "0::/a/b\n") == none);
  write_file(mount / "a/b/memory.max", "max\n");
  CHECK(cgroup_memory_left(mount.path(), "0::/a/b\n") == none);
  write_file(mount / "a/memory.max", "1000000\n");
  write_file(mount / "a/memory.current", "700000\n");
  write_file(mount / "a/memory.stat", "anon 300000\ninactive_file 350000\nactive_file 50000\n");
  CHECK(cgroup_memory_left(mount.path(), "0::/a/b\n") == 700000);
  CHECK(cgroup_memory_left(mount.path(), "0::/\n") == none);
  write_file(mount / "a/b/memory.max", "500000\n");
  write_file(mount / "a/b/memory.current", "600000\n");
  CHECK(cgroup_memory_left(mount.path(), "0::/a/b\n") == 0);
  CHECK(available_memory() > 1 << 20);
  CHECK(available_memory() < 1e15);
}

TEST_CASE("hardware_threads respects the affinity") {
  REQUIRE(hardware_threads() >= 1);
  cpu_set_t all, one;
  REQUIRE(sched_getaffinity(0, sizeof all, &all) == 0);
  int cpu = 0;
  while (!CPU_ISSET(cpu, &all)) ++cpu;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
  CHECK(hardware_threads() == 1);
  REQUIRE(sched_setaffinity(0, sizeof all, &all) == 0);
}

// The handlers are process-wide, so they are tried in a child; returns its wait status.
template <class Body>
int status_of_child(const Body& body) {
  const pid_t child = fork();
  if (child == 0) {
    install_stop_handlers();
    body();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

TEST_CASE("a stop signal sets a flag; a second SIGINT ends the process") {
  const int flagged = status_of_child([] {
    if (stop_requested()) _exit(1);
    raise(SIGTERM);
    if (!stop_requested()) _exit(2);
    raise(SIGINT);
    clear_stop_request();
    if (stop_requested()) _exit(3);
    raise(SIGINT);
    if (!stop_requested()) _exit(4);
  });
  REQUIRE(WIFEXITED(flagged));
  CHECK(WEXITSTATUS(flagged) == 0);
  const int twice = status_of_child([] {
    raise(SIGINT);
    raise(SIGINT);
  });
  REQUIRE(WIFEXITED(twice));
  CHECK(WEXITSTATUS(twice) == 130);
}

TEST_CASE("where nothing can be saved or interrupted a stop ends the process at once") {
  const auto code = [](bool before, bool within) {
    const int status = status_of_child([=] {
      if (before) raise(SIGTERM);
      {
        const StopEndsAtOnce stop("told to stop in a test");
        if (within) raise(SIGUSR1);
      }
      raise(SIGTERM);
      if (stop_requested()) _exit(7);
    });
    return WEXITSTATUS(status);
  };
  CHECK(code(false, true) == 143);
  CHECK(code(true, false) == 143);
  CHECK(code(false, false) == 7);
}

TEST_CASE("whatever tells a program to stop is named; what was ignored stays ignored") {
  for (const auto& [number, name] : {std::pair{SIGTERM, "SIGTERM"},
                                     {SIGINT, "SIGINT"},
                                     {SIGHUP, "SIGHUP"},
                                     {SIGUSR1, "SIGUSR1"},
                                     {SIGUSR2, "SIGUSR2"},
                                     {SIGXCPU, "SIGXCPU"}}) {
    INFO(name);
    signal(number, SIG_DFL);
    const int told = status_of_child([number = number, name = name] {
      if (!stop_signal_name().empty()) _exit(1);
      raise(number);
      raise(SIGTERM);  // the first counts
      if (!stop_requested() || stop_signal_name() != name) _exit(2);
    });
    CHECK(told == 0);
    signal(number, SIG_IGN);
    const int ignored = status_of_child([number = number] {
      raise(number);
      if (stop_requested()) _exit(1);
    });
    signal(number, SIG_DFL);
    CHECK(ignored == 0);
  }
}

TEST_CASE("a kill point kills at the pass it was asked to, in the process it was asked to") {
  const auto passes = [](const char* at, const char* rank) {
    setenv("LITTLEBIT_KILL_AT", at, 1);
    setenv("RANK", rank, 1);
    const int status = status_of_child([] {
      for (int pass = 1; pass <= 3; ++pass) {
        try {
          kill_point("gather");
        } catch (const UsageError&) {
          _exit(9);
        }
        kill_point("write");
        if (pass == 2) kill_point("update");
      }
    });
    unsetenv("LITTLEBIT_KILL_AT");
    unsetenv("RANK");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  };
  CHECK(passes("gather:3", "0") == 128 + SIGKILL);
  CHECK(passes("gather:4", "0") == 0);
  CHECK(passes("update:1", "5") == 128 + SIGKILL);
  CHECK(passes("update:2", "5") == 0);
  CHECK(passes("write:1:1", "1") == 128 + SIGKILL);
  CHECK(passes("write:1:1", "0") == 0);
  for (const char* wrong : {"gather", "gather:0", "gather:1:0:0", "nowhere:1", ""}) {
    CHECK(passes(wrong, "0") == 9);
  }
}

TEST_CASE("what does not fit is told with both numbers; a place need not be there") {
  const TempFolder folder;
  CHECK_NOTHROW(require_space(folder / "not" / "there", 1, "a thing"));
  CHECK_THROWS_WITH(require_space(folder / "not" / "there", uint64_t{1} << 62, "a thing"),
                    Contains("cannot write a thing: No space left on device: it needs ") &&
                        Contains("not/there`, where ") && Contains(" are free"));
}

}  // namespace
}  // namespace littlebit
