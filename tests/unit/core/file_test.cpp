// The file layer: whole files or none, whatever fails; and messages a person can act on.
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <fstream>

#include "littlebit/core/error.h"
#include "littlebit/core/fault_hook.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/record_file.h"
#include "littlebit/core/signals.h"
#include "littlebit/core/write_file.h"
#include "temp_folder.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;

// Fails the first call of `operation` that comes after `spared` others, with `error`; unhooks at
// the end of a test.
class Fault {
 public:
  Fault(std::string operation, int error, int spared = 0) {
    set_fault_hook([=, this](std::string_view name, const fs::path&) mutable {
      if (name != operation || fired_ || spared-- > 0) return 0;
      fired_ = true;
      return error;
    });
  }
  ~Fault() { set_fault_hook(nullptr); }
  bool fired() const { return fired_; }

 private:
  bool fired_ = false;
};

// Runs `action`, which must throw an Error of this kind, and returns it.
template <class Kind, class Action>
Kind error_of(const Action& action) {
  try {
    action();
  } catch (const Kind& error) {
    return error;
  }
  throw std::runtime_error("expected an error, there was none");
}

void put(const fs::path& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

TEST_CASE("a mapped file shows the bytes of the file") {
  const TempFolder folder;
  put(folder / "a", std::string("x\0y", 3));
  MappedFile file(folder / "a");
  REQUIRE(file.bytes().size() == 3);
  CHECK(file.bytes()[2] == std::byte{'y'});
  MappedFile moved = std::move(file);
  CHECK(moved.bytes().size() == 3);
  CHECK(moved.path() == folder / "a");
  put(folder / "empty", "");
  CHECK(MappedFile(folder / "empty").bytes().empty());
  moved = MappedFile(folder / "empty");
  CHECK(moved.bytes().empty());
}

TEST_CASE("what cannot be read is named") {
  const TempFolder folder;
  put(folder / "config.json", "{}");
  const auto missing = error_of<InputError>([&] { MappedFile(folder / "confg.json"); });
  CHECK(missing.code() == ExitCode::kInput);
  CHECK_THAT(missing.what(), Contains("confg.json") && Contains("No such file"));
  CHECK_THAT(missing.hint(), Contains("config.json"));
  CHECK_THAT(error_of<InputError>([&] { read_file(folder / "a/b"); }).hint(),
             Contains((folder / "a").string()) && Contains("does not exist"));
  CHECK_THAT(error_of<InputError>([&] { read_file(folder / "config.json/b"); }).what(),
             Contains("Not a directory"));
  CHECK_THAT(error_of<InputError>([&] { read_file(folder.path()); }).what(), Contains("folder"));
  CHECK_THAT(error_of<InputError>([&] { MappedFile{folder.path()}; }).what(), Contains("folder"));
  REQUIRE(mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK_THROWS_AS(MappedFile(folder / "pipe"), InputError);  // and does not wait for a writer
}

TEST_CASE("read_file reads up to its limit") {
  const TempFolder folder;
  put(folder / "a", "12345");
  CHECK(read_file(folder / "a") == "12345");
  CHECK(read_file(folder / "a", 5) == "12345");
  CHECK_THAT(error_of<InputError>([&] { read_file(folder / "a", 4); }).what(),
             Contains("longer than 4 B"));
  CHECK_THAT(read_file("/proc/self/status"), Contains("Name:"));  // its size is given as 0
  CHECK_THROWS_AS(read_file("/dev/zero", 100), InputError);
}

TEST_CASE("an output file appears on commit only") {
  const TempFolder folder;
  const fs::path path = folder / "out";
  put(path, "old");
  {
    OutputFile file(path);
    file.write("new");
    CHECK(file.position() == 3);
    CHECK(read_file(path) == "old");
  }
  CHECK(read_file(path) == "old");
  CHECK_FALSE(fs::exists(folder / "out.partial"));
  OutputFile file(path);
  file.write("newer");
  file.write("!");
  file.commit();
  CHECK(read_file(path) == "newer!");
  CHECK_FALSE(fs::exists(folder / "out.partial"));
  CHECK_THROWS_AS(file.commit(), std::logic_error);
}

TEST_CASE("a stale partial file does not shine through") {
  const TempFolder folder;
  put(folder / "out.partial", "much longer than what follows");
  write_file(folder / "out", "short");
  CHECK(read_file(folder / "out") == "short");
}

TEST_CASE("two writers of one name: the second is refused") {
  const TempFolder folder;
  OutputFile first(folder / "out");
  first.write("1");
  CHECK_THAT(error_of<OutputError>([&] { OutputFile(folder / "out"); }).what(),
             Contains("another process"));
  first.commit();
  CHECK(read_file(folder / "out") == "1");
  OutputFolder tree(folder / "tree");
  CHECK_THROWS_AS(OutputFolder(folder / "tree"), OutputError);
  tree.commit();
  CHECK(fs::is_directory(folder / "tree"));
}

TEST_CASE("any failed operation leaves the older file and no partial one") {
  const TempFolder folder;
  const fs::path path = folder / "out";
  put(path, "old");
  for (const char* operation : {"open", "write", "fsync", "rename"}) {
    const Fault fault(operation, EIO);
    const auto error = error_of<OutputError>([&] { write_file(path, "new"); });
    CHECK(fault.fired());
    CHECK(error.code() == ExitCode::kOutput);
    CHECK_THAT(error.what(), Contains((folder / "out").string()) && Contains("Input/output error"));
    CHECK(read_file(path) == "old");
    CHECK_FALSE(fs::exists(folder / "out.partial"));
  }
}

TEST_CASE("a full disk says so") {
  const TempFolder folder;
  const Fault fault("write", ENOSPC);
  const auto error = error_of<OutputError>([&] { write_file(folder / "out", "new"); });
  CHECK_THAT(error.what(), Contains("No space left"));
  CHECK_THAT(error.hint(), Contains("free space"));
}

TEST_CASE("what may not be opened or made says why, and leaves nothing") {
  const TempFolder folder;
  const fs::path path = folder / "x";
  const auto fails = [&](std::string operation, int error, const char* word, const auto& action) {
    INFO(operation << " " << error);
    const Fault fault(std::move(operation), error);
    const auto seen = error_of<OutputError>(action);
    CHECK(fault.fired());
    CHECK(seen.code() == ExitCode::kOutput);
    CHECK_THAT(seen.what(), Contains(path.string()) && Contains(word));
    CHECK_FALSE(seen.hint().empty());
    CHECK(fs::is_empty(folder.path()));
  };
  for (const auto& [error, word] :
       {std::pair{EACCES, "Permission denied"}, std::pair{EROFS, "Read-only file system"},
        std::pair{ENOSPC, "No space left"}}) {
    fails("open", error, word, [&] { write_file(path, "new"); });
    fails("open", error, word, [&] { AppendFile{path}; });
    fails("open", error, word, [&] { RecordFile{path}; });
    fails("open", error, word, [&] { OutputFolder{path}; });
    fails("mkdir", error, word, [&] { OutputFolder{path}; });
    fails("mkdir", error, word, [&] { create_folders(path / "y"); });
  }
  const Fault fault("mkdir", EROFS);
  create_folders(folder.path());  // is there already: nothing is made
  CHECK_FALSE(fault.fired());
}

TEST_CASE("interrupted calls are repeated") {
  const TempFolder folder;
  for (const char* operation : {"open", "write", "fsync", "rename"}) {
    const Fault fault(operation, EINTR);
    write_file(folder / "out", operation);
    CHECK(fault.fired());
    CHECK(read_file(folder / "out") == operation);
  }
}

TEST_CASE("short writes are continued, and a file size limit ends in an error") {
  const TempFolder folder;
  const fs::path path = folder / "out";
  // In a child: the limit makes the kernel write 4096 of 10000 bytes, then fail with EFBIG.
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    install_stop_handlers();
    const rlimit limit{4096, 4096};
    setrlimit(RLIMIT_FSIZE, &limit);
    try {
      write_file(path, std::string(10000, 'x'));
    } catch (const OutputError& error) {
      _exit(std::string(error.what()).find("too large") != std::string::npos ? 5 : 1);
    }
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 5);
  CHECK_FALSE(fs::exists(path));
  CHECK_FALSE(fs::exists(folder / "out.partial"));
}

TEST_CASE("a path below a regular file, a folder in the way, a missing folder") {
  const TempFolder folder;
  put(folder / "file", "");
  fs::create_directory(folder / "folder");
  const auto below = error_of<OutputError>([&] { write_file(folder / "file/x", ""); });
  CHECK_THAT(below.hint(), Contains((folder / "file").string() + "` is a file"));
  const auto deep = error_of<OutputError>([&] { create_folders(folder / "file/x/y"); });
  CHECK_THAT(deep.hint(), Contains((folder / "file").string() + "` is a file"));
  CHECK_THROWS_AS(OutputFolder(folder / "file/x"), OutputError);
  CHECK_THROWS_AS(OutputFolder(folder / "file"), OutputError);
  CHECK_THROWS_AS(AppendFile(folder / "file/x"), OutputError);
  CHECK_THROWS_AS(OutputFile(folder / "folder"), OutputError);
  CHECK_THAT(error_of<OutputError>([&] { write_file(folder / "none/x", ""); }).hint(),
             Contains("create the folder"));
}

TEST_CASE("a pipe, a device and what links to them are never replaced") {
  const TempFolder folder;
  std::vector<fs::path> special = {folder / "pipe"};
  REQUIRE(mkfifo(special[0].c_str(), 0600) == 0);
  // Like /dev/null; only root may make it. Not the one of the machine: a failure would replace it.
  if (mknod((folder / "null").c_str(), S_IFCHR | 0600, makedev(1, 3)) == 0) {
    special.push_back(folder / "null");
  }
  for (const fs::path& path : special) {
    const fs::path link = folder / "link", second = folder / "second";
    fs::create_symlink(path.filename(), link);
    fs::create_symlink(link, second);
    for (const fs::path& name : {path, link, second}) {
      INFO(name);
      const auto error = error_of<OutputError>([&] { write_file(name, "x"); });
      CHECK_THAT(error.what(), Contains(name.string()) && Contains("device or pipe"));
      CHECK_FALSE(error.hint().empty());
      CHECK_THROWS_AS(OutputFolder(name), OutputError);
    }
    CHECK(fs::is_other(fs::symlink_status(path)));
    CHECK(fs::read_symlink(link) == path.filename());
    fs::remove(link);
    fs::remove(second);
  }
  fs::create_symlink("/proc/self/fd/1", folder / "stdout");
  CHECK_THAT(error_of<OutputError>([&] { write_file(folder / "stdout", ""); }).what(),
             Contains("an open file of a process"));
  CHECK(fs::is_symlink(folder / "stdout"));
  fs::create_symlink("loop", folder / "loop");
  CHECK_THAT(error_of<OutputError>([&] { write_file(folder / "loop", ""); }).what(),
             Contains("symbolic links"));
  CHECK_THAT(error_of<OutputError>([&] { OutputFolder("/"); }).what(), Contains("root folder"));
  CHECK_THROWS_AS(OutputFile("/"), OutputError);
  // What stands where the partial file would: not waited for, not written through.
  REQUIRE(mkfifo((folder / "out.partial").c_str(), 0600) == 0);
  CHECK_THROWS_AS(write_file(folder / "out", ""), OutputError);
  put(folder / "other", "old");
  fs::create_symlink("other", folder / "new.partial");
  CHECK_THROWS_AS(write_file(folder / "new", "new"), OutputError);
  CHECK(read_file(folder / "other") == "old");
}

TEST_CASE("a link stays, and what it points to is replaced") {
  const TempFolder folder;
  fs::create_directories(folder / "far/run");
  put(folder / "far/file", "old");
  put(folder / "far/run/old", "");
  fs::create_symlink("far/file", folder / "file");
  fs::create_symlink("far/run/", folder / "run");
  fs::create_symlink(folder / "far/later", folder / "later");  // points to nothing yet
  write_file(folder / "file", "new");
  write_file(folder / "later", "made");
  CHECK(read_file(folder / "far/file") == "new");
  CHECK(read_file(folder / "far/later") == "made");
  {
    OutputFolder output(folder / "run/");
    write_file(output.staging() / "new", "");
    output.commit();
  }
  CHECK(fs::exists(folder / "far/run/new"));
  CHECK_FALSE(fs::exists(folder / "far/run/old"));
  for (const char* link : {"file", "run", "later"}) CHECK(fs::is_symlink(folder / link));
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 4);
}

TEST_CASE("an output folder appears on commit only, and replaces an older one whole") {
  const TempFolder folder;
  const fs::path path = folder / "deep/run";
  {
    OutputFolder output(folder / "deep/run/");  // a slash at the end means the same folder
    fs::create_directory(output.staging() / "sub");
    write_file(output.staging() / "sub/a", "1");
    CHECK_FALSE(fs::exists(path));
    output.commit();
  }
  CHECK(read_file(path / "sub/a") == "1");
  {
    OutputFolder output(path);
    write_file(output.staging() / "b", "2");
    CHECK(fs::exists(path / "sub/a"));
  }
  CHECK(fs::exists(path / "sub/a"));
  CHECK_FALSE(fs::exists(folder / "deep/run.partial"));
  fs::create_directories(folder / "deep/run.partial/stale");
  {
    OutputFolder output(path);
    CHECK(fs::is_empty(output.staging()));
    write_file(output.staging() / "b", "2");
    output.commit();
  }
  CHECK(read_file(path / "b") == "2");
  CHECK_FALSE(fs::exists(path / "sub"));
  CHECK(std::distance(fs::directory_iterator(folder / "deep"), fs::directory_iterator()) == 1);
}

TEST_CASE("a folder is replaced where the file system cannot exchange names") {
  const TempFolder folder;
  const fs::path path = folder / "run";
  fs::create_directory(path);
  put(path / "old", "");
  {
    const Fault fault("exchange", EINVAL);
    OutputFolder output(path);
    write_file(output.staging() / "new", "");
    output.commit();
    CHECK(fault.fired());
  }
  CHECK(fs::exists(path / "new"));
  CHECK_FALSE(fs::exists(path / "old"));
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 1);
}

TEST_CASE("a folder whose commit fails leaves the older one") {
  const TempFolder folder;
  const fs::path path = folder / "run";
  fs::create_directory(path);
  put(path / "old", "");
  const auto commit_with = [&](std::string operation, int error, int spared) {
    OutputFolder output(path);
    write_file(output.staging() / "new", "");
    const Fault fault(operation, error, spared);
    CHECK_THROWS_AS(output.commit(), OutputError);
    CHECK(fault.fired());
  };
  commit_with("exchange", EIO, 0);
  commit_with("fsync", ENOSPC, 0);
  commit_with("fsync", EIO, 1);
  CHECK(fs::exists(path / "old"));
  CHECK_FALSE(fs::exists(folder / "run.partial"));
  // Exchange impossible and the second of the two renames fails: the older folder comes back.
  set_fault_hook([count = 0](std::string_view operation, const fs::path&) mutable {
    if (operation == "exchange") return EINVAL;
    return operation == "rename" && ++count == 2 ? EIO : 0;
  });
  {
    OutputFolder output(path);
    CHECK_THROWS_AS(output.commit(), OutputError);
  }
  set_fault_hook(nullptr);
  CHECK(fs::exists(path / "old"));
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 1);
}

TEST_CASE("an append file grows by whole lines") {
  const TempFolder folder;
  const fs::path path = folder / "log";
  {
    AppendFile file(path);
    file.append_line("one");
    file.append_line("");
    CHECK(read_file(path) == "one\n\n");
  }
  AppendFile(path).append_line("two");
  CHECK(read_file(path) == "one\n\ntwo\n");
  put(path, "torn");
  AppendFile(path).append_line("whole");
  CHECK(read_file(path) == "torn\nwhole\n");
}

TEST_CASE("a failed append leaves no piece of its line") {
  const TempFolder folder;
  const fs::path path = folder / "log";
  AppendFile file(path);
  file.append_line("one");
  {
    const Fault fault("write", ENOSPC);
    CHECK_THROWS_AS(file.append_line("two"), OutputError);
  }
  CHECK(read_file(path) == "one\n");
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    install_stop_handlers();
    const rlimit limit{6, 6};  // two bytes of the line fit
    setrlimit(RLIMIT_FSIZE, &limit);
    try {
      file.append_line("three");
    } catch (const OutputError&) {
      _exit(5);
    }
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WEXITSTATUS(status) == 5);
  CHECK(read_file(path) == "one\n");
  file.append_line("four");
  CHECK(read_file(path) == "one\nfour\n");
}

}  // namespace
}  // namespace littlebit
