// One thread, one loop: signals come as bytes of a descriptor, beside the pipes of the processes.
// After the first bad end the others have up to a second to find out by themselves, since they know
// better why; then they get SIGTERM, and after the grace period SIGKILL.
#include "littlebit/distributed/launcher.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>

#include "distributed/line_relay.h"
#include "littlebit/core/error.h"
#include "littlebit/core/stopwatch.h"
#include "littlebit/distributed/environment.h"

namespace littlebit {
namespace {

// How long the others may find out by themselves that one has ended: they know better why.
constexpr double kPatienceSeconds = 1;
constexpr int kForwarded[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGXCPU};
constexpr int kCrashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS};
constexpr int kPeerLost = static_cast<int>(ExitCode::kPeerLost);
constexpr int kStopped = static_cast<int>(ExitCode::kStopped);
constexpr int kInheritedSocket = 3;  // rank 0's number of the socket that listens
// Of launchers around us: they do not hold for our processes.
constexpr const char* kOuterVariables[] = {"TORCHELASTIC_RUN_ID", "TORCHELASTIC_USE_AGENT_STORE",
                                           "TORCHELASTIC_RESTART_COUNT"};

[[noreturn]] void fail(const std::string& what, int error) {
  throw OutputError(what + ": " + std::generic_category().message(error),
                    "try fewer processes; see ulimit -u and ulimit -n");
}

struct Descriptor {
  int number = -1;
  Descriptor() = default;
  explicit Descriptor(int open) : number(open) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { reset(); }
  void reset() {
    if (number >= 0) close(std::exchange(number, -1));
  }
};

// A socket that listens on a free port of this host: between finding the port and using it nobody
// else can take it.
void listen_anywhere(Descriptor& descriptor, int64_t& port) {
  descriptor.number = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (descriptor.number < 0 || bind(descriptor.number, generic, size) != 0 ||
      listen(descriptor.number, SOMAXCONN) != 0 ||
      getsockname(descriptor.number, generic, &size) != 0) {
    fail("no free port for the processes to connect to", errno);
  }
  port = ntohs(address.sin_port);
}

// SIGCHLD and what is forwarded, but for what whoever started us had ignored (nohup).
sigset_t signals_to_take() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  for (const int number : kForwarded) {
    struct sigaction action {};
    sigaction(number, nullptr, &action);
    if (action.sa_handler != SIG_IGN) sigaddset(&set, number);
  }
  return set;
}

// Blocks the signals while it lives.
class TakenSignals {
 public:
  TakenSignals() : taken_(signals_to_take()) {
    // Blocked, signals wait in the descriptor, where poll() sees them beside the pipes: no handler,
    // and no gap between looking and sleeping in which one is lost.
    pthread_sigmask(SIG_BLOCK, &taken_, &before_);
    descriptor_.number = signalfd(-1, &taken_, SFD_CLOEXEC | SFD_NONBLOCK);
    if (descriptor_.number < 0) fail("signal handlers cannot be installed", errno);
  }
  TakenSignals(const TakenSignals&) = delete;
  TakenSignals& operator=(const TakenSignals&) = delete;
  ~TakenSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

  int descriptor() const { return descriptor_.number; }
  const sigset_t& before() const { return before_; }
  int next() {  // 0: none
    signalfd_siginfo info{};
    const ssize_t size = read(descriptor_.number, &info, sizeof info);
    return size == sizeof info ? static_cast<int>(info.ssi_signo) : 0;
  }

 private:
  sigset_t taken_, before_;
  Descriptor descriptor_;
};

class Family {
 public:
  explicit Family(const Launch& launch) : launch_(launch) {}
  Family(const Family&) = delete;
  Family& operator=(const Family&) = delete;
  ~Family();  // nobody is left behind

  int run();

 private:
  struct Child {
    pid_t pid = 0;
    bool is_alive = true;
    int code = 0;
    LineRelay out, err;
  };

  void start();
  void start_one(int64_t rank, const Descriptor& listening, int64_t port);
  Variables variables(int64_t rank, int64_t port) const;
  void take_signals();
  void reap();
  void ended(size_t rank, int status);
  void end_others();
  void send_all(int signal_number);
  double patience() const { return std::min(kPatienceSeconds, launch_.grace_seconds / 2); }
  void relay_until(int timeout_ms);
  int decide() const;
  bool has_living() const {
    return std::any_of(children_.begin(), children_.end(),
                       [](const Child& c) { return c.is_alive; });
  }

  const Launch& launch_;
  TakenSignals signals_;
  std::vector<Child> children_;
  std::vector<int> codes_;      // bad ones that are nobody else's consequence, in the order of ends
  bool was_signalled_ = false;  // the launcher, from outside
  bool is_ending_ = false;      // one has ended badly
  bool was_told_ = false, is_killing_ = false;  // the others, by us
  Stopwatch since_end_;
};

Family::~Family() {
  for (Child& child : children_) {
    if (child.is_alive) kill(child.pid, SIGKILL);
  }
  for (Child& child : children_) {
    if (child.is_alive) waitpid(child.pid, nullptr, 0);
  }
}

Variables Family::variables(int64_t rank, int64_t port) const {
  Variables variables = environment_variables();
  for (const char* outer : kOuterVariables) variables.erase(outer);
  const std::string number = std::to_string(rank), all = std::to_string(launch_.processes);
  variables["RANK"] = variables["LOCAL_RANK"] = number;
  variables["WORLD_SIZE"] = variables["LOCAL_WORLD_SIZE"] = all;
  variables["MASTER_ADDR"] = "127.0.0.1";
  variables["MASTER_PORT"] = std::to_string(port);
  variables["LITTLEBIT_LAUNCHER"] = std::to_string(getpid());
  variables.erase("LITTLEBIT_LISTENING_SOCKET");
  if (rank == 0) variables["LITTLEBIT_LISTENING_SOCKET"] = std::to_string(kInheritedSocket);
  return variables;
}

// In a group of its own: a terminal's Ctrl-C reaches it once, from us.
void Family::start_one(int64_t rank, const Descriptor& listening, int64_t port) {
  std::array<int, 2> out{}, err{};
  if (pipe2(out.data(), O_CLOEXEC) != 0) fail("cannot create a pipe for a process", errno);
  Descriptor out_write(out[1]);
  LineRelay out_relay(out[0], STDOUT_FILENO, "[" + std::to_string(rank) + "] ");
  if (pipe2(err.data(), O_CLOEXEC) != 0) fail("cannot create a pipe for a process", errno);
  Descriptor err_write(err[1]);
  LineRelay err_relay(err[0], STDERR_FILENO, "[" + std::to_string(rank) + "] ");

  std::vector<std::string> lines;
  for (const auto& [name, value] : variables(rank, port)) lines.push_back(name + "=" + value);
  std::vector<char*> environment, arguments;
  for (std::string& line : lines) environment.push_back(line.data());
  environment.push_back(nullptr);
  std::vector<std::string> words = launch_.arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  // Input belongs to no process in particular.
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err[1], STDERR_FILENO);
  if (rank == 0) posix_spawn_file_actions_adddup2(&actions, listening.number, kInheritedSocket);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setsigmask(&attributes, &signals_.before());
  posix_spawnattr_setpgroup(&attributes, 0);
  pid_t pid = 0;
  const int error = posix_spawn(&pid, launch_.program.c_str(), &actions, &attributes,
                                arguments.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) fail("process " + std::to_string(rank) + " cannot be started", error);
  children_.push_back({.pid = pid, .out = std::move(out_relay), .err = std::move(err_relay)});
}

// The socket is opened here and inherited by rank 0, so that no other program can take its port
// between.
void Family::start() {
  Descriptor listening;
  int64_t port = 0;
  listen_anywhere(listening, port);
  children_.reserve(static_cast<size_t>(launch_.processes));
  for (int64_t rank = 0; rank < launch_.processes; ++rank) start_one(rank, listening, port);
}

void Family::send_all(int signal_number) {
  for (const Child& child : children_) {
    if (child.is_alive) kill(child.pid, signal_number);
  }
}

void Family::take_signals() {
  // Signals of one kind that come together may be one: all children are looked at, whatever the
  // number.
  while (const int number = signals_.next()) {
    if (number == SIGCHLD) continue;  // reap() looks at all of them anyway
    was_signalled_ = true;
    send_all(number);
  }
}

void Family::ended(size_t rank, int status) {
  Child& child = children_[rank];
  child.is_alive = false;
  for (LineRelay* relay : {&child.out, &child.err}) {
    relay->relay();
    relay->close();
  }
  bool is_consequence = false;
  if (WIFEXITED(status)) {
    child.code = WEXITSTATUS(status);
    // Of a process that lost its peers, or that we told to stop, the cause is elsewhere: its exit
    // code must not hide the first one's.
    is_consequence =
        child.code == kPeerLost || (child.code == kStopped && was_told_ && !was_signalled_);
  } else {
    const int number = WTERMSIG(status);
    // A crash is our bug. Any other signal came from outside, as from the kernel when memory runs
    // out: the run has lost a process.
    const bool crashed = std::count(std::begin(kCrashes), std::end(kCrashes), number) > 0;
    child.code = crashed ? static_cast<int>(ExitCode::kBug) : kPeerLost;
    is_consequence = !crashed;
    if (crashed || !(was_told_ || is_killing_)) {
      std::fprintf(stderr, "error: process %zu was ended by signal %d (%s)\n", rank, number,
                   strsignal(number));
    }
  }
  // A good end is no reason to end the others: processes may leave one after another.
  if (child.code == 0) return;
  if (!is_consequence) codes_.push_back(child.code);
  // Only the first bad end starts the clock.
  if (is_ending_) return;
  is_ending_ = true;
  since_end_ = Stopwatch();
}

void Family::reap() {
  for (size_t rank = 0; rank < children_.size(); ++rank) {
    int status = 0;
    if (children_[rank].is_alive &&
        waitpid(children_[rank].pid, &status, WNOHANG) == children_[rank].pid) {
      ended(rank, status);
    }
  }
}

// Behind the first bad end, by the clock.
void Family::end_others() {
  const double seconds = since_end_.seconds();
  if (!was_told_ && !was_signalled_ && seconds >= patience()) {
    was_told_ = true;
    send_all(SIGTERM);
    send_all(SIGCONT);  // one that is stopped would not hear it
  }
  if (is_killing_ || seconds < launch_.grace_seconds) return;
  is_killing_ = true;
  for (size_t rank = 0; rank < children_.size(); ++rank) {
    if (!children_[rank].is_alive) continue;
    std::fprintf(stderr, "error: process %zu did not end within %.0f s and is killed\n", rank,
                 launch_.grace_seconds);
  }
  send_all(SIGKILL);
}

void Family::relay_until(int timeout_ms) {
  std::vector<pollfd> waiting = {{.fd = signals_.descriptor(), .events = POLLIN, .revents = 0}};
  for (const Child& child : children_) {
    for (const LineRelay* relay : {&child.out, &child.err}) {
      waiting.push_back({.fd = relay->descriptor(), .events = POLLIN, .revents = 0});
    }
  }
  poll(waiting.data(), waiting.size(), timeout_ms);
  for (Child& child : children_) {
    child.out.relay();
    child.err.relay();
  }
}

int Family::run() {
  start();
  while (has_living()) {
    // Until one has ended badly there is nothing to wait for but output and signals: no time-out.
    const double until = was_told_ || was_signalled_ ? launch_.grace_seconds : patience();
    const double left = until - since_end_.seconds();
    relay_until(is_ending_ && !is_killing_ ? static_cast<int>(std::clamp(left * 1e3 + 1, 1.0, 1e6))
                                           : -1);
    take_signals();
    reap();
    if (is_ending_) end_others();
  }
  return decide();
}

int Family::decide() const {
  // The first cause. Where every bad end is a consequence, what caused it is not among our
  // processes.
  if (!codes_.empty()) return codes_.front();
  const bool bad =
      std::any_of(children_.begin(), children_.end(), [](const Child& c) { return c.code != 0; });
  return bad ? kPeerLost : 0;
}

}  // namespace

int launch(const Launch& launch) {
  Family family(launch);
  return family.run();
}

}  // namespace littlebit
