// The communicator of processes on GPUs, with c10d's Gloo group in NCCL's place: both are the same
// interface, and what is ours is around it.
#include "distributed/device_communicator.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <torch/csrc/distributed/c10d/HashStore.hpp>

#include "distributed/gloo_backend.h"
#include "distributed/nccl_backend.h"
#include "littlebit/device/cuda.h"
#include "processes.h"

using namespace littlebit;
using test::Ended;
using test::Process;
using test::Processes;
using test::require;
using test::run_processes;

namespace {

constexpr at::ScalarType kTypes[] = {at::kDouble, at::kFloat, at::kBFloat16,
                                     at::kLong,   at::kInt,   at::kByte};
const ProcessGroupOptions kPatient = {.start_seconds = 30, .timeout_seconds = 30};

// Ends a forked process with the error's text where the test looks for it.
Processes::Body on_device(const Processes::Body& body) {
  return [body](Process& process) {
    std::unique_ptr<HostCommunicator> hosts(
        dynamic_cast<HostCommunicator*>(process.communicator.release()));
    require(hosts != nullptr, "a communicator of hosts");
    const auto connect = [&process](HostCommunicator& each) {
      return connect_gloo(process.environment, each.rank(), each.world(), each.store("devices"),
                          std::chrono::seconds(20));
    };
    process.communicator = std::make_unique<DeviceCommunicator>(
        std::move(hosts), connect, at::Device(at::kCPU), [&process](const Error& error) {
          process.keep(std::string(error.what()) + " | " + error.hint());
          _exit(static_cast<int>(error.code()));
        });
    body(process);
  };
}

at::Tensor summand(int64_t rank, int64_t n, at::ScalarType type) {
  return at::arange(n, at::kLong).add_(rank).remainder_(7).to(type);
}

at::Tensor sum_of(int64_t world, int64_t n, at::ScalarType type) {
  at::Tensor sum = at::zeros({n}, at::kLong);
  for (int64_t r = 0; r < world; ++r) sum.add_(summand(r, n, at::kLong));
  return sum.to(type);
}

void check_case(Communicator& communicator, at::ScalarType type, int64_t n, int64_t each) {
  const int64_t world = communicator.world(), rank = communicator.rank();
  if (each * world < n) return;
  const int64_t begin = std::min(rank * each, n), end = std::min((rank + 1) * each, n);
  const at::Tensor sum = sum_of(world, n, type), slice = sum.narrow(0, begin, end - begin);
  const std::string where = std::string(c10::toString(type)) + " n=" + std::to_string(n) +
                            " each=" + std::to_string(each);

  at::Tensor values = summand(rank, n, type);
  communicator.all_reduce_sum(values);
  require(at::equal(values, sum), "all_reduce_sum " + where);

  // Two on their way at a time.
  const at::Tensor first = summand(rank, n, type), second = summand(rank, n, type);
  Pending one = communicator.start_reduce_scatter_sum(first, begin, end);
  Pending two = communicator.start_reduce_scatter_sum(second, begin, end);
  require(at::equal(one.wait(), slice), "reduce_scatter_sum " + where);
  require(at::equal(two.wait(), slice), "the second reduce_scatter_sum " + where);

  at::Tensor all = at::zeros({n}, at::TensorOptions().dtype(type));
  all.narrow(0, begin, end - begin).copy_(slice);
  require(at::equal(communicator.start_all_gather(all, begin, end).wait(), sum),
          "all_gather's result " + where);
  require(at::equal(all, sum), "all_gather " + where);

  for (int64_t root = 0; root < world; ++root) {
    values = summand(rank, n, type);
    communicator.broadcast(values, root);
    require(at::equal(values, summand(root, n, type)), "broadcast " + where);
  }
}

// 256 elements of each process. (Gloo's reduce-scatter, unlike NCCL's, never says that it is done.)
Pending gather_slices(Communicator& communicator, const at::Tensor& values) {
  const int64_t begin = 256 * communicator.rank();
  return communicator.start_all_gather(values, begin, begin + 256);
}

}  // namespace

TEST_CASE("devices: every operation, type and kind of slice") {
  for (int64_t world = 2; world <= 4; ++world) {
    CHECK(run_processes(world, on_device([](Process& process) {
                          Communicator& communicator = *process.communicator;
                          const int64_t n = communicator.world();
                          communicator.enter("sums", 20);
                          for (const at::ScalarType type : kTypes) {
                            check_case(communicator, type, n, 1);
                            check_case(communicator, type, 128 * n, 128);
                            check_case(communicator, type, 128 * n - 5, 128);  // a shorter last one
                            check_case(communicator, type, 100, 100);          // the first has all
                            check_case(communicator, type, 0, 1);
                          }
                          at::Tensor matrix = at::full({3, 5}, 1.0, at::kFloat);
                          communicator.all_reduce_sum(matrix.t());
                          require(at::equal(matrix,
                                            at::full({3, 5}, static_cast<double>(n), at::kFloat)),
                                  "a transposed matrix");
                          require(communicator.any(communicator.rank() == 1), "one says so");
                          require(communicator.gather(std::to_string(communicator.rank())).back() ==
                                      std::to_string(n - 1),
                                  "a text");
                          communicator.barrier();
                        }),
                        kPatient) == "");
  }
}

TEST_CASE("devices: who does not come is named while the host waits for its device") {
  Processes processes(3, kPatient, on_device([](Process& process) {
                        Communicator& communicator = *process.communicator;
                        const at::Tensor values = at::ones({256 * 3});
                        gather_slices(communicator, values).wait();
                        communicator.enter("step 5", process.rank() == 1 ? 30 : 1);
                        if (process.rank() != 1) {
                          const Pending all = gather_slices(communicator, values);
                          std::this_thread::sleep_for(std::chrono::seconds(20));  // the device
                        }
                        std::this_thread::sleep_for(std::chrono::seconds(10));
                      }));
  const std::vector<Ended>& ended = processes.wait(15, {1});
  for (const int64_t rank : {0, 2}) {
    INFO(ended[rank].text);
    CHECK(ended[rank].code == 75);
    CHECK(ended[rank].seconds < 8);
    CHECK_THAT(ended[rank].text, Catch::StartsWith("rank 1 on "));
    CHECK_THAT(ended[rank].text, Catch::Contains("did not arrive in time"));
    CHECK_THAT(ended[rank].text, Catch::Contains("step 5, all_gather of 3"));
    CHECK_THAT(ended[rank].text, Catch::Contains("--resume auto"));
  }
}

TEST_CASE("devices: a process that is killed ends the others") {
  Processes processes(3, kPatient, on_device([](Process& process) {
                        Communicator& communicator = *process.communicator;
                        const at::Tensor values = at::ones({256 * 3});
                        gather_slices(communicator, values).wait();
                        communicator.enter("step 5", 20);
                        if (process.rank() == 2) _exit(9);
                        const Pending all = gather_slices(communicator, values);
                        std::this_thread::sleep_for(std::chrono::seconds(20));  // the device
                      }));
  const std::vector<Ended>& ended = processes.wait(15);
  CHECK(ended[2].code == 9);
  for (const int64_t rank : {0, 1}) {
    INFO(ended[rank].text);
    CHECK(ended[rank].code == 75);
    CHECK(ended[rank].seconds < 12);
    CHECK_THAT(ended[rank].text, Catch::StartsWith("rank 2 on ") || Catch::Contains("rank 2 on "));
  }
}

TEST_CASE("devices: what fails in one process is said by the others") {
  Processes processes(2, kPatient, on_device([](Process& process) {
                        Communicator& communicator = *process.communicator;
                        communicator.enter("step 5", 20);
                        if (process.rank() == 1) throw Error(ExitCode::kInput, "a page is torn");
                        communicator.barrier();
                      }));
  const std::vector<Ended>& ended = processes.wait(15);
  CHECK(ended[1].code == static_cast<int>(ExitCode::kInput));
  CHECK(ended[0].code == 75);
  CHECK_THAT(ended[0].text, Catch::Contains("a page is torn"));
}

TEST_CASE("devices: NCCL where there is no GPU says so") {
  const auto connect = [] {
    connect_nccl(/*rank=*/0, /*world=*/2, at::Device(at::kCUDA, 0),
                 c10::make_intrusive<c10d::HashStore>(), /*rank_in_all=*/1);
  };
  std::string problem;
  if (load_cuda_library(problem) == nullptr) {
    CHECK_THROWS_WITH(connect(), Catch::Contains("built without CUDA"));
    return;
  }
  if (open_cuda().driver_has_gpu) return;
  // The library's group is really there: it answers.
  CHECK_THROWS_WITH(connect(), Catch::Contains("the GPU of rank 1 cannot be connected"));
}

TEST_CASE("devices: those of a host are connected once more, and a killed one is named") {
  const auto host_of = [](const Process& process) {
    return process.rank() % 2 == 0 ? "a" : "b";  // ranks 0, 2 and 1, 3
  };
  CHECK(run_processes(4, on_device([&](Process& process) {
                        Communicator& all = *process.communicator;
                        Communicator* host = connect_host(all, 2, host_of(process));
                        require(host != nullptr && host->world() == 2 && host->is_asynchronous(),
                                "a host of 2");
                        all.enter("step 1", 30);
                        const at::Tensor whole = at::full({8}, process.rank(), at::kFloat),
                                         sum = at::ones({300});
                        const int64_t begin = 4 * host->rank();
                        Pending gathered = host->start_all_gather(whole, begin, begin + 4);
                        all.all_reduce_sum(sum);
                        const at::Tensor got = gathered.wait();
                        const int64_t lower = process.rank() % 2;
                        require(got[0].item<float>() == lower && got[7].item<float>() == lower + 2,
                                "gathered");
                        require(sum[0].item<float>() == 4, "summed");
                      }),
                      kPatient) == "");
  Processes processes(4, kPatient, on_device([&](Process& process) {
                        Communicator& all = *process.communicator;
                        Communicator* host = connect_host(all, 2, host_of(process));
                        all.enter("step 4", 1.5);
                        for (int64_t step = 0;; ++step) {
                          const at::Tensor whole = at::ones({8});
                          host->all_gather(whole, 4 * host->rank(), 4 * host->rank() + 4);
                          all.any(false);
                          if (step == 3 && process.rank() == 3) raise(SIGKILL);
                        }
                      }));
  const std::vector<Ended>& ended = processes.wait(20);
  for (size_t r = 0; r < 3; ++r) {
    INFO("rank " << r << ": " << ended[r].text);
    CHECK(ended[r].code == 75);
    CHECK_THAT(ended[r].text, Catch::Contains("rank 3 on ") && Catch::Contains("was lost") &&
                                  Catch::Contains("step 4"));
  }
}
