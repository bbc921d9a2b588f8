// The choice of a device, its properties and its clock by parts, and the way to the CUDA library on
// whatever machine this is.
#include "littlebit/device/device.h"

#include <ATen/Parallel.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <thread>

#include "littlebit/core/error.h"
#include "littlebit/core/parallel.h"
#include "littlebit/device/cuda.h"
#include "littlebit/device/part_clock.h"
#include "support/paths.h"

namespace littlebit {
namespace {

using Catch::Matchers::Contains;

TEST_CASE("a device is what was asked for, or the reason why not") {
  const at::Device cpu(at::kCPU);
  CHECK(open_device(DeviceKind::kCpu, "run.device") == cpu);
  CHECK(describe_device(cpu) == "CPU");
  if (open_cuda().kernels != nullptr) {
    for (const DeviceKind kind : {DeviceKind::kAuto, DeviceKind::kCuda}) {
      CHECK(open_device(kind, "run.device").is_cuda());
    }
    return;
  }
  CHECK(open_device(DeviceKind::kAuto, "run.device") == cpu);
  CHECK_THROWS_WITH(open_device(DeviceKind::kCuda, "run.device"), Contains("run.device is cuda"));
  CHECK_THROWS_AS(open_device(DeviceKind::kCuda, "run.device"), UsageError);
}

TEST_CASE("what depends on the kind of a device is answered in one place") {
  const DeviceTraits& cpu = device_traits(at::kCPU);
  const DeviceTraits& cuda = device_traits(at::Device(at::kCUDA, 1));
  const DeviceTraits& other = device_traits(at::kMeta);
  CHECK(std::string(cpu.name) == "cpu");
  CHECK(std::string(cuda.name) == "cuda");
  CHECK(cpu.is_host);
  CHECK_FALSE(cuda.is_host);
  CHECK_FALSE(other.is_host);
  CHECK(cpu.auto_dtype == at::kFloat);
  CHECK(cuda.auto_dtype == at::kBFloat16);
  // Pinned memory is CUDA's; asking for it elsewhere fails.
  CHECK(cuda.pins_host_memory);
  CHECK_FALSE(cpu.pins_host_memory);
  CHECK_FALSE(other.pins_host_memory);
}

TEST_CASE("each process of a host has the GPU of its number") {
  CHECK(gpu_of(0, 1) == 0);
  CHECK(gpu_of(3, 8) == 3);
  CHECK_THROWS_AS(gpu_of(1, 1), UsageError);
  CHECK_THROWS_WITH(gpu_of(4, 4),
                    Contains("process 4 of its host (LOCAL_RANK)") && Contains("sees 4 GPUs"));
  CHECK(open_device(DeviceKind::kCpu, "run.device", 5) == at::Device(at::kCPU));
}

TEST_CASE("ATen's threads: as many as asked for, 0 for every core") {
  const int before = at::get_num_threads();
  for (const int threads : {1, 2, 3}) {
    use_threads(threads);
    CHECK(at::get_num_threads() == threads);
  }
  use_threads(0);
  CHECK(at::get_num_threads() == hardware_threads());
  at::set_num_threads(before);
}

TEST_CASE("a clock by parts: every part has its own time, pauses are nobody's") {
  using Clock = std::chrono::steady_clock;
  const auto wait = [](int milliseconds) {
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  };
  const auto seconds_since = [](Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  PartClock clock(at::kCPU, 3);
  CHECK(clock.take() == std::vector<double>{0, 0, 0});
  const Clock::time_point begin = Clock::now();
  clock.enter(2);
  wait(8);
  clock.enter(0);
  wait(4);
  clock.pause();
  const double running = seconds_since(begin);
  wait(100);
  const Clock::time_point again = Clock::now();
  clock.enter(2);
  wait(8);
  const std::vector<double> parts = clock.take();  // ends what is running
  const double last = seconds_since(again);
  REQUIRE(parts.size() == 3);
  // Sleeps are never shorter than asked for. What the parts have together is all but the pause.
  CHECK(parts[0] >= 0.004);
  CHECK(parts[1] == 0);
  CHECK(parts[2] >= 0.016);
  CHECK(parts[0] + parts[2] <= running + last);
  CHECK(parts[0] <= running - 0.008);
  CHECK(clock.take() == std::vector<double>{0, 0, 0});  // what was taken is not counted again
}

TEST_CASE("CUDA: the library loads wherever it was built, with every symbol of its own", "[cuda]") {
  std::string problem;
  const CudaKernels* kernels = load_cuda_library(problem);
  if (!std::filesystem::exists(std::filesystem::path(test::kBinaryDir) / "lib" /
                               "liblittlebit_cuda.so")) {
    CHECK(kernels == nullptr);
    CHECK_THAT(problem, Contains("built without CUDA"));
    return;
  }
  INFO(problem);
  REQUIRE(kernels != nullptr);
  CHECK(kernels->version == kCudaKernelsVersion);
  if (open_cuda().driver_has_gpu) return;
  // c10d's process group and CUDA's runtime are really there: they answer.
  CHECK_THROWS_WITH(kernels->nccl_difference(0), Contains("no GPUs found"));
  CHECK_THROWS_WITH(kernels->compute_capability(0), Contains("CUDA error"));
}

TEST_CASE("CUDA: without a GPU the reason is told", "[cuda]") {
  const CudaState& state = open_cuda();
  CHECK(&state == &open_cuda());
  if (state.kernels != nullptr) {
    CHECK(state.driver_has_gpu);
    CHECK(state.kernels->compute_capability(0) >= kMinComputeCapability);
    return;
  }
  CHECK(!state.problem.empty());
  CHECK_THAT(state.hint, Contains("train.device=cpu"));
  if (!state.driver_has_gpu) {
    CHECK_THAT(state.problem, Contains("NVIDIA driver"));
  }
}

}  // namespace
}  // namespace littlebit
