// Several processes of a test, forked off before anything of ATen's starts a thread in this one:
// what computes runs in them only.
#pragma once

#include <ATen/Parallel.h>
#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "littlebit/core/error.h"
#include "littlebit/core/process.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/stopwatch.h"
#include "littlebit/core/write_file.h"
#include "littlebit/distributed/process_group.h"
#include "temp_folder.h"

namespace littlebit::test {

// How one process ended.
struct Ended {
  int code = -1;     // of its exit; 128 + n by signal n
  std::string text;  // the error that ended it, "message | hint"
  double seconds = 0;
};

struct Process {
  Environment environment;
  std::unique_ptr<Communicator> communicator;
  std::function<void(const std::string&)> keep;  // a text as the error that ended it
  int64_t rank() const { return environment.rank; }
};

// Fails a forked process.
inline void require(bool condition, const std::string& what) {
  if (!condition) throw std::runtime_error(what);
}

// A socket that listens on some free port of this host, which `port` is set to.
inline int listen_anywhere(int64_t& port) {
  const int descriptor = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (descriptor < 0 || bind(descriptor, generic, size) != 0 || listen(descriptor, 64) != 0 ||
      getsockname(descriptor, generic, &size) != 0) {
    throw std::runtime_error("no port");
  }
  port = ntohs(address.sin_port);
  return descriptor;
}

inline int64_t free_port() {
  int64_t port = 0;
  close(listen_anywhere(port));
  return port;
}

class Processes {
 public:
  using Body = std::function<void(Process&)>;

  // Starts `world` processes that meet and run `body`. One whose body returns finishes its
  // communicator; one whose body throws fails it and ends with the error's code (1: no Error).
  // `adjust` changes where they meet.
  Processes(int64_t world, const ProcessGroupOptions& options, const Body& body,
            const std::function<void(Environment&)>& adjust = {}) {
    int64_t port = 0;
    const int listening = listen_anywhere(port);
    for (int64_t rank = 0; rank < world; ++rank) {
      Environment environment = {.rank = rank,
                                 .world = world,
                                 .local_rank = rank,
                                 .local_world = world,
                                 .master_address = "127.0.0.1",
                                 .master_port = port,
                                 .listening_socket = rank == 0 ? listening : -1,
                                 .found = "a test"};
      if (adjust) adjust(environment);
      const pid_t pid = fork();
      if (pid < 0) throw std::runtime_error("no more processes");
      if (pid == 0) {
        if (rank != 0) close(listening);
        _exit(run(environment, options, body));
      }
      pids_.push_back(pid);
      ended_.emplace_back();
    }
    close(listening);
  }
  Processes(const Processes&) = delete;
  Processes& operator=(const Processes&) = delete;
  ~Processes() {
    for (const pid_t pid : pids_) {
      if (pid > 0) kill(pid, SIGKILL);
    }
    for (const pid_t pid : pids_) {
      if (pid > 0) waitpid(pid, nullptr, 0);
    }
  }

  void send(int64_t rank, int signal_number) { kill(pids_[rank], signal_number); }

  // Waits for those that are still there; one that takes longer is killed (code 137).
  const std::vector<Ended>& wait(double limit_seconds = 40,
                                 const std::vector<int64_t>& but_not = {}) {
    const Stopwatch stopwatch;
    for (;;) {
      bool all = true;
      for (size_t i = 0; i < pids_.size(); ++i) {
        const bool left_out = std::count(but_not.begin(), but_not.end(), i) > 0;
        if (pids_[i] == 0 || left_out) continue;
        if (stopwatch.seconds() > limit_seconds) kill(pids_[i], SIGKILL);
        int status = 0;
        if (waitpid(pids_[i], &status, WNOHANG) != pids_[i]) {
          all = false;
          continue;
        }
        pids_[i] = 0;
        ended_[i].code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        ended_[i].seconds = clock_.seconds();
        const std::filesystem::path text = folder_ / ("text-" + std::to_string(i));
        if (std::filesystem::exists(text)) ended_[i].text = read_file(text);
      }
      if (all) return ended_;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }

 private:
  // In the forked process.
  int run(const Environment& environment, const ProcessGroupOptions& options, const Body& body) {
    const auto keep = [&](const std::string& text) {
      write_file(folder_ / ("text-" + std::to_string(environment.rank)), text);
    };
    Process process{.environment = environment, .communicator = nullptr, .keep = keep};
    try {
      keep_freed_memory();
      at::set_num_threads(1);
      process.communicator = make_communicator(environment, at::kCPU, options);
      body(process);
      process.communicator->finish();
      process.communicator.reset();
      return 0;
    } catch (const Error& error) {
      keep(std::string(error.what()) + " | " + error.hint());
      if (process.communicator) process.communicator->fail(error.what());
      return static_cast<int>(error.code());
    } catch (const std::exception& error) {
      keep(error.what());
      if (process.communicator) process.communicator->fail(error.what());
      return 1;
    }
  }

  TempFolder folder_;
  Stopwatch clock_;
  std::vector<pid_t> pids_;  // 0: has ended
  std::vector<Ended> ended_;
};

// Runs all to their end; the text of the first that did not end well, "" where all did.
inline std::string run_processes(int64_t world, const Processes::Body& body,
                                 const ProcessGroupOptions& options = {.start_seconds = 30,
                                                                       .timeout_seconds = 30}) {
  Processes processes(world, options, body);
  for (const Ended& ended : processes.wait()) {
    if (ended.code != 0) return "exit " + std::to_string(ended.code) + ": " + ended.text;
  }
  return "";
}

}  // namespace littlebit::test
