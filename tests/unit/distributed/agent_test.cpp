// Processes under an agent that keeps the store, as torchrun's does: every rank is a client, and a
// restart meets under keys of its own.
#include <catch2/catch.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "processes.h"

using namespace littlebit;
using Catch::Matchers::Contains;
using test::Ended;
using test::Process;
using test::Processes;

namespace {

const ProcessGroupOptions kOptions = {.start_seconds = 20, .timeout_seconds = 20};

// A process that keeps a store until it is killed.
class Agent {
 public:
  Agent() {
    const int listening = test::listen_anywhere(port_);
    pid_ = fork();
    if (pid_ == 0) {
      c10d::TCPStoreOptions options;
      options.port = static_cast<uint16_t>(port_);
      options.isServer = true;
      options.waitWorkers = false;
      options.masterListenFd = listening;
      const auto store = c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
      for (;;) pause();
    }
    close(listening);
  }
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;
  ~Agent() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  int64_t port() const { return port_; }

 private:
  int64_t port_ = 0;
  pid_t pid_ = 0;
};

}  // namespace

TEST_CASE("an agent's store outlives the processes, and serves the next attempt") {
  const Agent agent;
  for (int attempt = 0; attempt < 3; ++attempt) {
    Processes processes(
        3, kOptions,
        [&](Process& process) {
          test::require(!process.communicator->any(false), "nobody says so");
          // In the first attempt rank 0 is lost, and with it no store.
          if (attempt == 0 && process.rank() == 0) raise(SIGKILL);
          process.communicator->barrier();
        },
        [&](Environment& environment) {
          environment.master_port = agent.port();
          environment.agent_store = true;
          environment.listening_socket = -1;
          environment.key_prefix = "/worker/attempt_" + std::to_string(attempt) + "/";
        });
    const std::vector<Ended>& ended = processes.wait();
    for (size_t rank = 0; rank < 3; ++rank) {
      INFO("attempt " << attempt << ", rank " << rank << ": " << ended[rank].text);
      if (attempt > 0) {
        CHECK(ended[rank].code == 0);
      } else if (rank > 0) {
        CHECK(ended[rank].code == static_cast<int>(ExitCode::kPeerLost));
        CHECK_THAT(ended[rank].text, Contains("rank 0 on ") && Contains("was lost"));
      }
    }
  }
}
