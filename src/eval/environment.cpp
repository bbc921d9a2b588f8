// Provenance of results as JSON: versions, device, processor, threads, dtype. What cannot be
// found out is "unknown" and never an error.
#include "littlebit/eval/environment.h"

#include <torch/headeronly/version.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "littlebit/device/device.h"

namespace littlebit {
namespace {

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

}  // namespace

Json environment_json(at::Device device, int threads, const std::string& dtype) {
  Json environment = {{"littlebit", LITTLEBIT_VERSION},
                      {"libtorch", TORCH_VERSION},
                      {"compiler", "g++ " __VERSION__},
                      {"device", device_traits(device).name},
                      {"processor", processor_name()},
                      {"threads", threads},
                      {"dtype", dtype}};
  if (!device_traits(device).is_host) environment["gpu"] = describe_device(device);
  return environment;
}

}  // namespace littlebit
