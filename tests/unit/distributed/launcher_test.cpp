// The launcher with the shell as its program: whose exit code decides, what is relayed, which
// signals reach whom, and that nobody is left behind.
#include "littlebit/distributed/launcher.h"

#include <fcntl.h>
#include <sys/prctl.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"
#include "littlebit/core/write_file.h"
#include "littlebit/distributed/nproc.h"
#include "processes.h"

using namespace littlebit;
using Catch::Matchers::Contains;

namespace {

struct Outcome {
  int code = -1;  // of the exit; 128 + n by signal n
  std::string out, err;
  double seconds = 0;
};

// A launcher in a process of its own, so that signals can be sent to it.
class Launched {
 public:
  Launched(int64_t processes, const std::string& script, double grace_seconds = 20,
           const std::function<void()>& before = {}) {
    pid_ = fork();
    if (pid_ != 0) return;
    for (const auto& [name, to] : {std::pair{"out", STDOUT_FILENO}, {"err", STDERR_FILENO}}) {
      dup2(open((folder_ / name).c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600), to);
    }
    if (before) before();
    const std::string folder = folder_.path().string();
    setenv("FOLDER", folder.c_str(), 1);
    int code = 99;
    try {
      code = launch({.program = "/bin/bash",
                     .arguments = {"bash", "-c", script},
                     .processes = processes,
                     .grace_seconds = grace_seconds});
    } catch (const Error& error) {
      std::fprintf(stderr, "%s\n", error.what());
      code = static_cast<int>(error.code());
    }
    _exit(code);
  }
  Launched(const Launched&) = delete;
  Launched& operator=(const Launched&) = delete;
  ~Launched() {
    if (!ended_) kill(pid_, SIGKILL);
    if (!ended_) waitpid(pid_, nullptr, 0);
    for (const pid_t pid : pids()) kill(pid, SIGKILL);
  }

  void send(int number) const { kill(pid_, number); }
  std::filesystem::path file(const std::string& name) const { return folder_ / name; }

  // Until every one of `names` is a file in the folder.
  bool wait_for(const std::vector<std::string>& names) const {
    const Stopwatch stopwatch;
    while (!std::all_of(names.begin(), names.end(),
                        [&](const std::string& name) { return exists(file(name)); })) {
      if (stopwatch.seconds() > 20) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return true;
  }

  Outcome wait() {
    int status = 0;
    while (waitpid(pid_, &status, WNOHANG) == 0) {
      if (clock_.seconds() > 40) kill(pid_, SIGKILL);
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    ended_ = true;
    return {.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
            .out = read_file(file("out")),
            .err = read_file(file("err")),
            .seconds = clock_.seconds()};
  }

  // Of the shells that wrote pid-RANK, those that are still there.
  std::vector<pid_t> pids() const {
    std::vector<pid_t> alive;
    for (int64_t rank = 0; rank < 8; ++rank) {
      const std::filesystem::path path = file("pid-" + std::to_string(rank));
      if (!exists(path)) continue;
      const std::string text = read_file(path);
      if (text.empty()) continue;
      const auto pid = static_cast<pid_t>(std::stol(text));
      if (kill(pid, 0) == 0) alive.push_back(pid);
    }
    return alive;
  }
  bool wait_for_nobody() const {
    const Stopwatch stopwatch;
    while (!pids().empty()) {
      if (stopwatch.seconds() > 10) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return true;
  }

 private:
  TempFolder folder_;
  Stopwatch clock_;
  pid_t pid_ = 0;
  bool ended_ = false;
};

Outcome run(int64_t processes, const std::string& script, double grace_seconds = 20) {
  Launched launched(processes, script, grace_seconds);
  Outcome outcome = launched.wait();
  CHECK(launched.pids().empty());
  return outcome;
}

std::set<std::string> lines(const std::string& text) {
  const std::vector<std::string> all = split(text, '\n');
  return {all.begin(), all.end()};
}

// Says that it is there, and waits in a way that a signal ends at once.
const std::string kHere = "echo $$ > $FOLDER/pid-$RANK; touch $FOLDER/here-$RANK; ";
const std::string kSleep = "while :; do sleep 0.05; done; ";

}  // namespace

TEST_CASE("each process gets its place, and its lines come out with its rank") {
  const Outcome outcome =
      run(3,
          "echo $RANK $WORLD_SIZE $LOCAL_RANK $LOCAL_WORLD_SIZE $MASTER_ADDR; echo to err >&2; "
          "printf 'half a '; printf 'line\\n\\nno end'; cat; "
          "[ $PPID = $LITTLEBIT_LAUNCHER ] && [ -z \"$TORCHELASTIC_RUN_ID\" ]");
  INFO(outcome.err);
  CHECK(outcome.code == 0);
  CHECK(lines(outcome.out) ==
        std::set<std::string>{"", "[0] 0 3 0 3 127.0.0.1", "[1] 1 3 1 3 127.0.0.1",
                              "[2] 2 3 2 3 127.0.0.1", "[0] half a line", "[1] half a line",
                              "[2] half a line", "[0] ", "[1] ", "[2] ", "[0] no end", "[1] no end",
                              "[2] no end"});
  CHECK(lines(outcome.err) == std::set<std::string>{"", "[0] to err", "[1] to err", "[2] to err"});
  // The same port for all, that rank 0 alone has open already.
  const Outcome ports = run(2, "echo $MASTER_PORT; [ -S /dev/fd/3 ] && echo socket; true");
  CHECK_THAT(ports.out, Contains("[0] socket") && !Contains("[1] socket"));
  std::set<std::string> port;
  for (const std::string& line : lines(ports.out)) {
    if (line.size() > 4 && !line.ends_with("socket")) port.insert(line.substr(4));
  }
  CHECK(port.size() == 1);
}

TEST_CASE("much output of many processes is relayed whole") {
  const Outcome outcome = run(4, "for i in $(seq 5000); do echo line $RANK $i of many; done");
  CHECK(outcome.code == 0);
  std::vector<std::string> all = split(outcome.out, '\n');
  REQUIRE(all.size() == 20001);
  std::vector<int64_t> next(4, 1);
  int64_t wrong = 0;
  for (const std::string& line : all) {
    if (line.empty()) continue;
    const auto rank = static_cast<size_t>(line[1] - '0');
    const std::string number = std::to_string(rank);
    wrong +=
        line != "[" + number + "] line " + number + " " + std::to_string(next[rank]++) + " of many";
  }
  CHECK(wrong == 0);
}

TEST_CASE("the first end that is no consequence decides the exit code") {
  CHECK(run(3, "exit 0").code == 0);
  CHECK(run(3, "exit $((RANK == 1 ? 5 : 0))").code == 5);
  // Others notice first, and end with 75.
  CHECK(run(3, "[ $RANK = 1 ] && { sleep 0.2; exit 5; }; exit 75").code == 5);
  CHECK(run(3, "exit 75").code == 75);
  CHECK(run(2, "[ $RANK = 1 ] && exit 75; exit 0").code == 75);
  CHECK(run(2, "[ $RANK = 1 ] && { sleep 0.3; exit 3; }; exit 4").code == 4);
  // Told to stop because of another: not what decides.
  CHECK(run(3, "trap 'exit 143' TERM; [ $RANK = 2 ] && { sleep 0.2; exit 2; }; " + kSleep).code ==
        2);
  // Killed from outside: to be started again. Crashed: a bug.
  const Outcome killed = run(3, "trap 'exit 143' TERM; [ $RANK = 2 ] && kill -KILL $$; " + kSleep);
  CHECK(killed.code == 75);
  CHECK_THAT(killed.err, Contains("process 2 was ended by signal 9"));
  const Outcome crashed = run(2, "[ $RANK = 1 ] && { ulimit -c 0; kill -SEGV $$; }; exit 75");
  CHECK(crashed.code == 1);
  CHECK_THAT(crashed.err, Contains("process 1 was ended by signal 11"));
}

TEST_CASE("when one ends badly the others are stopped, and killed after the grace period") {
  const Outcome stopped = run(3, "[ $RANK = 0 ] && exit 3; " + kHere + kSleep);
  CHECK(stopped.code == 3);
  CHECK(stopped.seconds < 10);
  const Outcome deaf =
      run(3, "trap '' TERM; " + kHere + "[ $RANK = 0 ] && { sleep 0.2; exit 3; }; " + kSleep, 0.5);
  CHECK(deaf.code == 3);
  CHECK(deaf.seconds > 0.6);
  CHECK(deaf.seconds < 10);
  CHECK_THAT(deaf.err,
             Contains("process 1 did not end within") && Contains("process 2 did not end within"));
  // A stopped one, too.
  CHECK(run(2, kHere + "[ $RANK = 0 ] && { sleep 0.2; exit 3; }; kill -STOP $$", 0.5).code == 3);
  // One that ends well is no reason to stop the others.
  CHECK_THAT(run(2, "[ $RANK = 0 ] && exit 0; sleep 0.4; echo done").out, Contains("[1] done"));
}

TEST_CASE("signals reach every process once, and 143 comes back") {
  for (const int number : {SIGTERM, SIGINT, SIGUSR1}) {
    const std::string name = number == SIGTERM ? "TERM" : number == SIGINT ? "INT" : "USR1";
    Launched launched(3, "trap 'echo got >> $FOLDER/got-$RANK; sleep 0.1; exit 143' " + name +
                             "; " + kHere + kSleep);
    REQUIRE(launched.wait_for({"here-0", "here-1", "here-2"}));
    launched.send(number);
    const Outcome outcome = launched.wait();
    INFO(outcome.err);
    CHECK(outcome.code == 143);
    CHECK(launched.pids().empty());
    for (const char* file : {"got-0", "got-1", "got-2"}) {
      CHECK(read_file(launched.file(file)) == "got\n");
    }
  }
}

TEST_CASE("a signal that was ignored at the start stays ignored") {
  Launched launched(1, kHere + "while [ ! -e $FOLDER/go ]; do sleep 0.02; done; exit 7", 20,
                    [] { signal(SIGHUP, SIG_IGN); });
  REQUIRE(launched.wait_for({"here-0"}));
  launched.send(SIGHUP);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  write_file(launched.file("go"), "");
  CHECK(launched.wait().code == 7);
}

TEST_CASE("what cannot be started is said") {
  const auto start = [] { return launch({.program = "/nowhere/at/all", .arguments = {"a"}}); };
  CHECK_THROWS_WITH(start(), Contains("process 0 cannot be started: No such file"));
}

TEST_CASE("--nproc is taken from the arguments") {
  const auto asked = [](std::vector<std::string> words) {
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    return launch_if_asked(static_cast<int>(argv.size()), argv.data());
  };
  CHECK(asked({"program"}) == std::nullopt);
  CHECK(asked({"program", "--", "--nproc", "2"}) == std::nullopt);
  CHECK(asked({"program", "--nprocs", "2"}) == std::nullopt);
  for (const char* wrong : {"", "0", "-1", "two", "1025", "2x", "99999999999999999999"}) {
    CHECK_THROWS_AS(asked({"program", "--nproc", wrong}), UsageError);
    CHECK_THROWS_AS(asked({"program", std::string("--nproc=") + wrong}), UsageError);
  }
  CHECK_THROWS_AS(asked({"program", "--nproc"}), UsageError);
  setenv("RANK", "1", 1);
  setenv("WORLD_SIZE", "2", 1);
  setenv("MASTER_ADDR", "127.0.0.1", 1);
  CHECK_THROWS_WITH(asked({"program", "--nproc", "2"}), Contains("process 1 of 2"));
  for (const char* name : {"RANK", "WORLD_SIZE", "MASTER_ADDR"}) unsetenv(name);
  // This program itself, with one of its cases: three times.
  const pid_t pid = fork();
  if (pid == 0) {
    const int nowhere = open("/dev/null", O_WRONLY);
    dup2(nowhere, STDOUT_FILENO);
    _exit(asked({"tests", "--nproc", "3", "a process that was launched meets the others"})
              .value_or(99));
  }
  int status = 0;
  waitpid(pid, &status, 0);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("processes end when their launcher is killed") {
  TempFolder temp;
  prctl(PR_SET_CHILD_SUBREAPER, 1);  // they become ours
  const pid_t pid = fork();
  if (pid == 0) {
    const int nowhere = open("/dev/null", O_WRONLY);
    dup2(nowhere, STDOUT_FILENO);
    setenv("FOLDER", temp.path().c_str(), 1);
    std::vector<std::string> words = {"tests", "--nproc=2", "a process that was launched waits"};
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    _exit(launch_if_asked(static_cast<int>(argv.size()), argv.data()).value_or(99));
  }
  std::vector<pid_t> children;
  const Stopwatch stopwatch;
  while (children.size() < 2 && stopwatch.seconds() < 20) {
    const std::filesystem::path file = temp / ("pid-" + std::to_string(children.size()));
    if (std::filesystem::exists(file)) {
      children.push_back(static_cast<pid_t>(std::stol(read_file(file))));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  REQUIRE(children.size() == 2);
  const Stopwatch since;
  for (const pid_t child : children) {
    pid_t gone = 0;
    while ((gone = waitpid(child, nullptr, WNOHANG)) == 0 && since.seconds() < 10) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    CHECK(gone == child);
    if (gone == 0) kill(child, SIGKILL);
  }
  prctl(PR_SET_CHILD_SUBREAPER, 0);
}

// Hidden: run by the cases above, as the program that is launched.
TEST_CASE("a process that was launched waits", "[.]") {
  char name[] = "tests";
  char* argv[] = {name};
  REQUIRE(launch_if_asked(1, argv) == std::nullopt);
  const char* folder = std::getenv("FOLDER");
  REQUIRE(folder != nullptr);
  const Environment environment = read_environment(environment_variables());
  write_file(std::filesystem::path(folder) / ("pid-" + std::to_string(environment.rank)),
             std::to_string(getpid()));
  std::this_thread::sleep_for(std::chrono::seconds(60));
}
TEST_CASE("a process that was launched meets the others", "[.]") {
  const Environment environment = read_environment(environment_variables());
  REQUIRE(environment.found == "--nproc");
  REQUIRE(environment.world == 3);
  at::set_num_threads(1);
  const auto communicator =
      make_communicator(environment, at::kCPU, {.start_seconds = 30, .timeout_seconds = 30});
  const std::vector<std::string> ranks = communicator->gather(std::to_string(communicator->rank()));
  CHECK(ranks == std::vector<std::string>{"0", "1", "2"});
  communicator->finish();
}
