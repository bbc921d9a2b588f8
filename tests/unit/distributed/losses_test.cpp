// Processes that are killed, stopped, late or fail: the others end soon, with exit code 75, and say
// which it was.
#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "processes.h"

using namespace littlebit;
using Catch::Matchers::Contains;
using test::Ended;
using test::Process;
using test::Processes;
using test::require;

namespace {

constexpr int kPeerLost = static_cast<int>(ExitCode::kPeerLost);
const ProcessGroupOptions kPatient = {.start_seconds = 30, .timeout_seconds = 30};

at::Tensor numbers(int64_t n) { return at::ones({n}, at::kFloat); }

}  // namespace

TEST_CASE("a killed process is named by all others, at once, whatever they are doing") {
  struct Way {
    const char* operation;
    std::function<void(Communicator&)> call;
  };
  const std::vector<Way> ways = {
      {"all_reduce_sum", [](Communicator& c) { c.all_reduce_sum(numbers(400000)); }},
      {"reduce_scatter_sum",
       [](Communicator& c) {
         c.reduce_scatter_sum(numbers(300000), c.rank() * 100000, c.rank() * 100000 + 100000);
       }},
      {"all_gather",
       [](Communicator& c) {
         c.all_gather(numbers(300000), c.rank() * 100000, c.rank() * 100000 + 100000);
       }},
      {"broadcast", [](Communicator& c) { c.broadcast(numbers(400000), 1); }},
      {"gather", [](Communicator& c) { c.gather(std::string(100000, 'a')); }},
      {"any", [](Communicator& c) { c.any(false); }},
      {"barrier", [](Communicator& c) { c.barrier(); }},
  };
  std::vector<std::unique_ptr<Processes>> all;  // at the same time
  for (size_t i = 0; i < ways.size(); ++i) {
    all.push_back(std::make_unique<Processes>(3, kPatient, [&, i](Process& process) {
      process.communicator->enter("step 7", 30);
      for (int64_t step = 0;; ++step) {
        ways[i].call(*process.communicator);
        if (step == 3 && process.rank() == static_cast<int64_t>(i % 3)) raise(SIGKILL);
      }
    }));
  }
  for (size_t i = 0; i < ways.size(); ++i) {
    const std::vector<Ended>& ended = all[i]->wait();
    for (size_t r = 0; r < 3; ++r) {
      INFO(ways[i].operation << ", killed " << i % 3 << ", rank " << r << ": " << ended[r].text);
      if (r == i % 3) {
        CHECK(ended[r].code == 128 + SIGKILL);
        continue;
      }
      CHECK(ended[r].code == kPeerLost);
      CHECK(ended[r].seconds < 20);
      CHECK_THAT(ended[r].text, Contains("rank " + std::to_string(i % 3) + " on ") &&
                                    Contains("was lost") && Contains("step 7, ") &&
                                    Contains(ways[i].operation) && Contains("--resume auto"));
    }
  }
}

TEST_CASE("a stopped process is named when the time is over, by those who wait for it") {
  // Rank 0 keeps the store that the others ask.
  const int64_t stopped[] = {2, 0};
  std::vector<std::unique_ptr<Processes>> all;
  for (const int64_t rank : stopped) {
    all.push_back(std::make_unique<Processes>(3, kPatient, [rank](Process& process) {
      for (int64_t step = 0;; ++step) {
        const at::Tensor numbers_of_step = numbers(30000);
        process.communicator->reduce_scatter_sum(numbers_of_step, process.rank() * 10000,
                                                 process.rank() * 10000 + 10000);
        process.communicator->any(false);
        process.communicator->enter("step 1", 1.5);
        if (step == 3 && process.rank() == rank) raise(SIGSTOP);
      }
    }));
  }
  for (size_t i = 0; i < 2; ++i) {
    const std::vector<Ended> ended = all[i]->wait(20, {stopped[i]});
    for (int64_t r = 0; r < 3; ++r) {
      if (r == stopped[i]) continue;
      const Ended& each = ended[static_cast<size_t>(r)];
      INFO("stopped " << stopped[i] << ", rank " << r << ": " << each.text);
      CHECK(each.code == kPeerLost);
      CHECK(each.seconds > 1.4);
      CHECK(each.seconds < 20);
      CHECK_THAT(each.text, Contains("rank " + std::to_string(stopped[i]) + " on ") &&
                                Contains("did not arrive in time") && Contains("step 1, "));
    }
    // It goes on, and learns that it was given up.
    all[i]->send(stopped[i], SIGCONT);
    const Ended& late = all[i]->wait(20)[static_cast<size_t>(stopped[i])];
    INFO(late.text);
    CHECK(late.code == kPeerLost);
  }
}

TEST_CASE("who waits for a late one is not taken for late") {
  // Rank 1 waits in a broadcast's round; rank 0 has left it and waits in the next call.
  Processes processes(4, kPatient, [&](Process& process) {
    Communicator& communicator = *process.communicator;
    communicator.barrier();
    communicator.enter("step 2", 1);
    if (process.rank() == 3) std::this_thread::sleep_for(std::chrono::seconds(20));
    communicator.broadcast(numbers(10), 1);
    communicator.any(false);
  });
  const std::vector<Ended> ended = processes.wait(10, {3});
  for (size_t r = 0; r < 3; ++r) {
    INFO("rank " << r << ": " << ended[r].text);
    CHECK(ended[r].code == kPeerLost);
    CHECK_THAT(ended[r].text, Contains("rank 3 on ") && Contains("did not arrive in time") &&
                                  !Contains("rank 0 on") && !Contains("rank 1 on") &&
                                  !Contains("rank 2 on"));
  }
}

TEST_CASE("the error of one process is told by all others") {
  for (const int64_t failing : {1, 0}) {
    Processes processes(3, kPatient, [&](Process& process) {
      for (int64_t step = 0;; ++step) {
        process.communicator->all_reduce_sum(numbers(5000));
        if (step == 5 && process.rank() == failing) throw OutputError("the disk is full\nmore");
      }
    });
    const std::vector<Ended>& ended = processes.wait();
    for (int64_t r = 0; r < 3; ++r) {
      const Ended& each = ended[static_cast<size_t>(r)];
      INFO("rank " << r << ": " << each.text);
      CHECK(each.seconds < 10);
      if (r == failing) {
        CHECK(each.code == static_cast<int>(ExitCode::kOutput));
      } else {
        CHECK(each.code == kPeerLost);
        CHECK_THAT(each.text, Contains("rank " + std::to_string(failing) + " on ") &&
                                  Contains("ended: the disk is full ("));
      }
    }
  }
}

TEST_CASE("one that returns early, without finishing, fails the others") {
  Processes processes(2, kPatient, [&](Process& process) {
    process.communicator->barrier();
    if (process.rank() == 1) {
      process.communicator.reset();
      _exit(0);
    }
    process.communicator->barrier();
  });
  const std::vector<Ended>& ended = processes.wait();
  INFO(ended[0].text);
  CHECK(ended[0].code == kPeerLost);
  CHECK_THAT(ended[0].text, Contains("rank 1 on ") && Contains("ended before the others"));
}

TEST_CASE("after a failure nothing more is sent") {
  Processes processes(2, kPatient, [&](Process& process) {
    if (process.rank() == 1) raise(SIGKILL);
    try {
      process.communicator->barrier();
    } catch (const Error&) {
      process.communicator->barrier();
    }
  });
  CHECK_THAT(processes.wait()[0].text, Contains("the communicator ended or failed"));
}

TEST_CASE("a start that cannot succeed says why") {
  const auto start = [](Environment environment) {
    environment.master_address = "127.0.0.1";
    environment.found = "a test";
    try {
      make_communicator(environment, at::kCPU, {.start_seconds = 0.5, .timeout_seconds = 1});
    } catch (const Error& error) {
      return std::to_string(static_cast<int>(error.code())) + " " + error.what();
    }
    return std::string("started");
  };
  const int64_t port = test::free_port();
  // Nobody else comes.
  CHECK_THAT(start({.rank = 0, .world = 3, .local_world = 3, .master_port = port}),
             Contains("75 not all processes connected to 127.0.0.1:" + std::to_string(port) +
                      " within 0.5 s: rank 1, 2 of 3"));
  // Nobody keeps the store.
  CHECK_THAT(start({.rank = 1, .world = 2, .local_world = 2, .master_port = port}),
             Contains("75 rank 1 cannot reach rank 0 at 127.0.0.1:" + std::to_string(port)));
  CHECK(make_communicator({}, at::kCUDA)->world() == 1);
}

TEST_CASE("two of one rank, and two sizes of the world, are refused") {
  const ProcessGroupOptions options = {.start_seconds = 1.5, .timeout_seconds = 5};
  const int64_t port = test::free_port();
  std::vector<Ended> ended;
  {
    Processes processes(2, options, [&](Process& process) {
      process.communicator->barrier();
      Environment other = process.environment;
      other.listening_socket = -1;
      other.master_port = port;
      if (process.rank() == 1) other.world = 3;
      make_communicator(other, at::kCPU, options);
    });
    ended = processes.wait();
    INFO(ended[0].text << " / " << ended[1].text);
    CHECK((ended[0].code == 2 || ended[1].code == 2));
    CHECK_THAT(ended[0].text + ended[1].text, Contains("was started as one of"));
  }
  {
    Processes processes(3, options, [&](Process& process) {
      process.communicator->barrier();
      Environment other = process.environment;
      other.listening_socket = -1;
      other.master_port = port;
      other.world = 3;
      if (process.rank() == 2) other.rank = 1;
      make_communicator(other, at::kCPU, options);
    });
    ended = processes.wait();
    INFO(ended[0].text << " / " << ended[1].text << " / " << ended[2].text);
    CHECK((ended[1].code == 2 || ended[2].code == 2));
    CHECK_THAT(ended[1].text + ended[2].text, Contains("two processes claim to be rank 1"));
  }
}
