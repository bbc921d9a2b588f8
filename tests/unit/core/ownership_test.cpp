// What is not ours is never followed, emptied or removed; the order of what reaches the disk; locks
// on file systems that have none; mapped files that become shorter.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>
#include <fstream>

#include "littlebit/core/bus_error.h"
#include "littlebit/core/error.h"
#include "littlebit/core/fault_hook.h"
#include "littlebit/core/folder_lock.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/write_file.h"
#include "temp_folder.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;

void put(const fs::path& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

struct Hook {
  explicit Hook(FaultHook hook) { set_fault_hook(std::move(hook)); }
  ~Hook() { set_fault_hook(nullptr); }
};

template <class Action>
std::string output_error_of(const Action& action) {
  try {
    action();
  } catch (const OutputError& error) {
    CHECK_FALSE(error.hint().empty());
    return error.what();
  }
  return "no error";
}

TEST_CASE("a link or a folder of others at NAME.partial is refused and stays as it is") {
  const TempFolder folder;
  fs::create_directories(folder / "victim");
  put(folder / "victim/thesis.txt", "precious");
  fs::create_directory_symlink("victim", folder / "a.partial");
  fs::create_directories(folder / "b.partial/deep");
  put(folder / "b.partial/deep/thesis.txt", "precious");
  put(folder / "c.partial", "precious");
  CHECK_THAT(output_error_of([&] { OutputFolder(folder / "a"); }), Contains("a link"));
  CHECK_THAT(output_error_of([&] { OutputFolder(folder / "b"); }),
             Contains("that this program did not make") && Contains("b.partial"));
  CHECK_THAT(output_error_of([&] { OutputFolder(folder / "c"); }), Contains("not a folder"));
  for (const char* name : {"a", "b", "c"}) {
    CHECK_FALSE(clean_unfinished(folder / name));
    CHECK_FALSE(fs::exists(folder / name));
  }
  CHECK(read_file(folder / "victim/thesis.txt") == "precious");
  CHECK(fs::is_symlink(folder / "a.partial"));
  CHECK(read_file(folder / "b.partial/deep/thesis.txt") == "precious");
  CHECK(read_file(folder / "c.partial") == "precious");
}

TEST_CASE("a link inside a stale folder of ours goes, what it points to stays") {
  const TempFolder folder;
  fs::create_directories(folder / "victim");
  put(folder / "victim/thesis.txt", "precious");
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {  // killed in the middle
    OutputFolder output(folder / "run");
    put(output.staging() / "half", "x");
    fs::create_directory_symlink(folder / "victim", output.staging() / "link");
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(fs::exists(folder / "run.partial"));
  SECTION("the next writer takes it over") {
    OutputFolder output(folder / "run");
    CHECK(fs::is_empty(output.staging()));
    output.commit();
    CHECK(fs::is_empty(folder / "run"));
  }
  SECTION("it is cleared away") {
    CHECK(clean_unfinished(folder / "run"));
    CHECK_FALSE(fs::exists(folder / "run"));
  }
  CHECK_FALSE(fs::exists(folder / "run.partial"));
  CHECK(read_file(folder / "victim/thesis.txt") == "precious");
}

TEST_CASE("an older folder that a killed writer had moved aside comes back") {
  const TempFolder folder;
  fs::create_directories(folder / "run");
  put(folder / "run/kept", "older");
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    set_fault_hook([renames = 0](std::string_view operation, const fs::path&) mutable {
      if (operation == "exchange") return EINVAL;  // a file system without
      if (operation == "rename" && ++renames == 2) _exit(0);
      return 0;
    });
    OutputFolder output(folder / "run");
    put(output.staging() / "new", "newer");
    output.commit();
    _exit(1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WEXITSTATUS(status) == 0);
  REQUIRE_FALSE(fs::exists(folder / "run"));
  CHECK(clean_unfinished(folder / "run"));
  CHECK(read_file(folder / "run/kept") == "older");
  CHECK_FALSE(fs::exists(folder / "run.partial"));
}

TEST_CASE("folders that only stand beside the name, .old too, are nobody's business") {
  const TempFolder folder;
  fs::create_directories(folder / "run");
  fs::create_directories(folder / "run.old");
  put(folder / "run.old/thesis.txt", "precious");
  const Hook without_exchange([](std::string_view operation, const fs::path&) {
    return operation == "exchange" ? EINVAL : 0;
  });
  OutputFolder output(folder / "run");
  put(output.staging() / "new", "");
  output.commit();
  CHECK(fs::exists(folder / "run/new"));
  CHECK(read_file(folder / "run.old/thesis.txt") == "precious");
}

TEST_CASE("an unfinished file is ours by its mark: others stay, those of killed writers go") {
  const TempFolder folder;
  put(folder / "out.partial", "precious");
  put(folder / "other", "precious too");
  fs::create_hard_link(folder / "other", folder / "linked.partial");
  fs::permissions(folder / "other", fs::perms::sticky_bit, fs::perm_options::add);
  write_file(folder / "out", "new");
  write_file(folder / "linked", "new");
  CHECK(read_file(folder / "out") == "new");
  CHECK(read_file(folder / "out.partial") == "precious");
  CHECK(read_file(folder / "other") == "precious too");
  CHECK((fs::status(folder / "out").permissions() & fs::perms::sticky_bit) == fs::perms::none);

  fs::create_symlink("other", folder / "x.partial");
  CHECK_THAT(output_error_of([&] { write_file(folder / "x", ""); }), Contains("a link"));
  CHECK(read_file(folder / "other") == "precious too");

  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    OutputFile file(folder / "killed");
    file.write("much longer than what follows");
    _exit(0);
  }
  REQUIRE(waitpid(child, nullptr, 0) == child);
  REQUIRE(fs::file_size(folder / "killed.partial") > 0);
  write_file(folder / "killed", "short");
  CHECK(read_file(folder / "killed") == "short");
  CHECK_FALSE(fs::exists(folder / "killed.partial"));
}

TEST_CASE("bytes are flushed before a name appears, and the name after it") {
  const TempFolder folder;
  std::vector<std::string> seen;
  const auto record = [&](std::string_view operation, const fs::path& path) {
    if (operation != "lock" && operation != "mkdir") {
      seen.push_back(std::string(operation) + " " +
                     path.lexically_relative(folder.path()).string());
    }
    return 0;
  };
  const auto since = [&](const std::string& first) {
    const auto from = std::find(seen.begin(), seen.end(), first);
    return std::vector<std::string>(from, seen.end());
  };
  SECTION("a file") {
    const Hook hook(record);
    write_file(folder / "out", "bytes");
    CHECK(seen == std::vector<std::string>{"open out.partial", "write out.partial",
                                           "fsync out.partial", "rename out", "open .", "fsync ."});
  }
  SECTION("a folder, also over an older one") {
    for (const bool older : {false, true}) {
      seen.clear();
      const Hook hook(record);
      OutputFolder output(folder / "run");
      write_file(output.staging() / "a", "bytes");
      output.commit();
      const std::string inner = "run.partial/new";
      CHECK(since("write " + inner + "/a.partial") ==
            std::vector<std::string>{"write " + inner + "/a.partial",
                                     "fsync " + inner + "/a.partial", "rename " + inner + "/a",
                                     "open " + inner, "fsync " + inner, "open " + inner + "/a",
                                     "fsync " + inner + "/a", "open " + inner, "fsync " + inner,
                                     older ? "exchange run" : "rename run", "open .", "fsync ."});
    }
  }
  SECTION("a removal: the name goes first, for good") {
    fs::create_directories(folder / "run");
    put(folder / "run/a", "");
    bool there = true;
    const Hook hook([&](std::string_view operation, const fs::path& path) {
      if (operation == "fsync")
        there = fs::exists(folder / "run") || !fs::exists(folder / "run.partial/new/a");
      return record(operation, path);
    });
    remove_folder(folder / "run");
    CHECK(since("rename run.partial/new") ==
          std::vector<std::string>{"rename run.partial/new", "open .", "fsync ."});
    CHECK_FALSE(there);  // when the change of names was flushed, the content was still whole
    CHECK(fs::is_empty(folder.path()));
  }
  SECTION("new folders") {
    const Hook hook(record);
    create_lasting_folders(folder / "a/b");
    CHECK(seen == std::vector<std::string>{"open a", "fsync a", "open .", "fsync ."});
  }
}

TEST_CASE("a folder's lock is a file opened for writing; without locks it says so") {
  const TempFolder folder;
  {
    const FolderLock lock(folder.path());
    CHECK(lock.is_effective());
    CHECK(fs::is_regular_file(folder / ".lock"));
    try {
      FolderLock second(folder.path());
      FAIL("two have it");
    } catch (const BusyError& busy) {
      CHECK(busy.code() == ExitCode::kPeerLost);
    }
  }
  CHECK(fs::is_empty(folder.path()));  // made for nothing: it is gone again
  {
    // As a network file system: a folder cannot be locked, a file can.
    const Hook network([&](std::string_view operation, const fs::path& path) {
      return operation == "lock" && path == folder.path() ? EBADF : 0;
    });
    FolderLock lock(folder.path());
    CHECK(lock.is_effective());
    CHECK_THROWS_AS(FolderLock(folder.path()), BusyError);
    CHECK_FALSE(FolderLock::is_claimed(folder.path()));
    lock.claim();
  }
  CHECK(FolderLock::is_claimed(folder.path()));
  {
    const Hook none([](std::string_view operation, const fs::path&) {
      return operation == "lock" ? ENOLCK : 0;
    });
    CHECK_FALSE(FolderLock(folder.path()).is_effective());
  }
  const TempFolder theirs;
  put(theirs / ".lock", "of another program");
  {
    FolderLock lock(theirs.path());
    lock.claim();
  }
  CHECK(read_file(theirs / ".lock") == "of another program");
  CHECK_FALSE(FolderLock::is_claimed(theirs.path()));
  const TempFolder linked;
  fs::create_symlink(theirs / ".lock", linked / ".lock");
  CHECK_THAT(output_error_of([&] { FolderLock(linked.path()); }), Contains("not a plain file"));
}

// The exit code and what was said where a file that is mapped becomes shorter and is read.
std::pair<int, std::string> read_shortened(const fs::path& folder, bool by_system_call) {
  const fs::path file = folder / "data", said = folder / "said";
  put(file, std::string(3 << 20, 'x'));
  const pid_t child = fork();
  if (child == 0) {
    if (!freopen(said.c_str(), "w", stderr)) _exit(99);
    install_bus_error_handler();
    set_bus_error_note("the last checkpoint is step-7");
    const MappedFile mapped(file);
    fs::resize_file(file, 10);
    try {
      if (by_system_call)
        write_file(folder / "copy",
                   {reinterpret_cast<const char*>(mapped.bytes().data()), mapped.bytes().size()});
      volatile int sum = 0;
      for (const std::byte b : mapped.bytes()) sum = sum + static_cast<int>(b);
    } catch (const InputError& error) {
      put(said, error.what());
      _exit(static_cast<int>(error.code()));
    }
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  return {WEXITSTATUS(status), read_file(said)};
}

TEST_CASE("a mapped file that becomes shorter is named, with what to go on from") {
  const TempFolder folder;
  for (const bool by_system_call : {false, true}) {
    const auto [code, said] = read_shortened(folder.path(), by_system_call);
    CHECK(code == 3);
    CHECK_THAT(said, Contains((folder / "data").string()) &&
                         Contains("it became shorter while it was read"));
    if (!by_system_call)
      CHECK_THAT(said, Contains("hint: ") && Contains("the last checkpoint is step-7"));
  }
  CHECK_FALSE(fs::exists(folder / "copy"));
}

}  // namespace
}  // namespace littlebit
