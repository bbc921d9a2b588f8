// The processes of a host, connected once more: four processes as two hosts of two, whose ranks lie
// between each other.
#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "littlebit/distill/sharded_teacher.h"
#include "littlebit/models/architectures.h"
#include "littlebit/models/forward.h"
#include "littlebit/models/load.h"
#include "processes.h"
#include "support/loaded_model.h"
#include "support/tiny_model.h"

using namespace littlebit;
using Catch::Matchers::Contains;
using test::Ended;
using test::Process;
using test::Processes;
using test::require;
using test::run_processes;

namespace {

constexpr int kPeerLost = static_cast<int>(ExitCode::kPeerLost);
const ProcessGroupOptions kPatient = {.start_seconds = 30, .timeout_seconds = 30};

// Of ranks 0, 2 and of 1, 3.
Communicator& host_of(Process& process) {
  Communicator* host =
      connect_host(*process.communicator, 2, process.rank() % 2 == 0 ? "even" : "odd");
  require(host != nullptr && host->world() == 2 && host->rank() == process.rank() / 2,
          "the processes of a host, by their ranks");
  return *host;
}

void gather_in(Communicator& host) {
  host.all_gather(at::ones({2000}), 1000 * host.rank(), 1000 * host.rank() + 1000);
}

}  // namespace

TEST_CASE("a host's processes and all of them meet in turn, and end together") {
  CHECK(run_processes(4, [](Process& process) {
          Communicator &all = *process.communicator, &host = host_of(process);
          const int64_t lower = process.rank() % 2;
          for (int64_t step = 0; step < 20; ++step) {
            if (step == 10) all.enter("step 10", 20);
            const at::Tensor sum = at::full({30000}, process.rank(), at::kFloat);
            host.all_reduce_sum(sum);
            require(sum[29999].item<float>() == 2 * lower + 2, "a host's sum");
            at::Tensor whole = at::full({10000}, process.rank(), at::kInt);
            host.all_gather(whole, 5000 * host.rank(), 5000 * host.rank() + 5000);
            require(whole[0].item<int>() == lower && whole[9999].item<int>() == lower + 2,
                    "a host's slices");
            all.all_reduce_sum(sum);
            require(sum[0].item<float>() == 2 * 2 + 2 * 4, "everybody's sum");
            require(host.gather(std::to_string(process.rank())) ==
                        std::vector<std::string>{std::to_string(lower), std::to_string(lower + 2)},
                    "a host's texts");
            require(all.any(process.rank() == 3) && host.any(process.rank() == 3) == (lower == 1),
                    "who says so");
          }
        }) == "");
}

TEST_CASE("where hosts are no parts of all, they are not connected once more") {
  struct Way {
    const char* what;
    std::vector<std::string> hosts;
    std::vector<int64_t> local_worlds;
  };
  const std::vector<Way> ways = {
      {"one host", {"a", "a", "a"}, {3, 3, 3}},
      {"a process each", {"a", "b", "c"}, {1, 1, 1}},
      {"one host has one", {"a", "a", "b"}, {2, 2, 1}},
      {"two of one name", {"a", "a", "a"}, {2, 2, 1}},
      {"not known how many", {"a", "a", "b"}, {1, 2, 1}},
  };
  CHECK(run_processes(3, [&](Process& process) {
          const auto rank = static_cast<size_t>(process.rank());
          for (const Way& way : ways) {
            require(connect_host(*process.communicator, way.local_worlds[rank], way.hosts[rank]) ==
                        nullptr,
                    way.what);
          }
        }) == "");
  CHECK(connect_host(solo(), 1) == nullptr);
}

TEST_CASE("a process that is killed in its host's call ends all, which name it") {
  for (const int64_t killed : {3, 0}) {  // rank 0 keeps the store
    Processes processes(4, kPatient, [killed](Process& process) {
      Communicator &all = *process.communicator, &host = host_of(process);
      all.enter("step 7", 30);
      for (int64_t step = 0;; ++step) {
        gather_in(host);
        if (step == 3 && process.rank() == killed) raise(SIGKILL);
        gather_in(host);
        all.any(false);
      }
    });
    const std::vector<Ended>& ended = processes.wait();
    for (int64_t r = 0; r < 4; ++r) {
      const Ended& each = ended[static_cast<size_t>(r)];
      INFO("killed " << killed << ", rank " << r << ": " << each.text);
      if (r == killed) continue;
      CHECK(each.code == kPeerLost);
      CHECK(each.seconds < 20);
      CHECK_THAT(each.text, Contains("rank " + std::to_string(killed) + " on ") &&
                                Contains("was lost") && Contains("step 7, ") &&
                                Contains("(rank " + std::to_string(r) + " waited "));
    }
  }
}

TEST_CASE("a process that stops in its host's call is named when the phase's time is over") {
  Processes processes(4, kPatient, [](Process& process) {
    Communicator &all = *process.communicator, &host = host_of(process);
    for (int64_t step = 0;; ++step) {
      all.enter("step " + std::to_string(step), step < 3 ? 30 : 1.5);
      if (step == 3 && process.rank() == 2) raise(SIGSTOP);
      gather_in(host);
      all.any(false);
    }
  });
  const std::vector<Ended> ended = processes.wait(20, {2});
  for (const int64_t r : {0, 1, 3}) {
    const Ended& each = ended[static_cast<size_t>(r)];
    INFO("rank " << r << ": " << each.text);
    CHECK(each.code == kPeerLost);
    CHECK_THAT(each.text, Contains("rank 2 on ") && Contains("did not arrive in time") &&
                              !Contains("rank 0 on") && Contains("step 3, "));
  }
}

TEST_CASE("why a process ends is told in its host's calls, too") {
  Processes processes(4, kPatient, [](Process& process) {
    Communicator& host = host_of(process);
    for (int64_t step = 0;; ++step) {
      gather_in(host);
      if (step == 3 && process.rank() == 1) throw OutputError("the disk is full");
      if (step == 3 && process.rank() % 2 == 0) process.communicator->barrier();
    }
  });
  const std::vector<Ended>& ended = processes.wait();
  CHECK(ended[1].code == static_cast<int>(ExitCode::kOutput));
  for (const size_t r : {0, 2, 3}) {
    INFO("rank " << r << ": " << ended[r].text);
    CHECK(ended[r].code == kPeerLost);
    CHECK_THAT(ended[r].text, Contains("rank 1 on ") && Contains("ended: the disk is full ("));
  }
}

TEST_CASE("a teacher that each host divides gives the logits of a whole one") {
  const TempFolder path;
  test::write_tiny_llama(path.path(), {.biases = true, .layers = 3});
  CHECK(run_processes(4, [&](Process& process) {
          Communicator& host = host_of(process);
          const HfFolder folder = test::open_folder(path.path());
          const ModelSpec spec = parse_model_spec(folder.config());
          const Decoder whole = load_decoder(folder, spec, at::kFloat, at::kCPU);
          const Decoder divided = load_sharded_decoder(folder, spec, at::kFloat, at::kCPU, host);
          require(divided.is_collective(), "gathered");
          at::manual_seed(static_cast<uint64_t>(process.rank()));  // each has texts of its own
          for (int pass = 0; pass < 3; ++pass) {
            const at::Tensor ids = at::randint(spec.vocab_size, {2, 9}, at::kLong);
            require(at::equal(forward_full(divided, ids, false).logits,
                              forward_full(whole, ids, false).logits),
                    "the same logits");
          }
          process.communicator->barrier();
        }) == "");
}
