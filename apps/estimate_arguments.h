// The command line of --estimate-memory.
#pragma once

#include <CLI/CLI.hpp>
#include <iostream>
#include <string>

#include "littlebit/train/estimate.h"
#include "littlebit/train/quantity.h"

namespace littlebit {

struct EstimateArguments {
  EstimateRequest request;
  std::string device_memory, bandwidth;
  bool json = false;

  // `estimate`: the flag without which none of them is read.
  void add_to(CLI::App& app, CLI::Option* estimate) {
    const auto add = [&](const char* name, auto& value, const char* type, const char* help) {
      app.add_option(name, value, help)->type_name(type)->needs(estimate);
    };
    add("--processes", request.processes, "N", "plan for N processes");
    add("--processes-per-host", request.processes_per_host, "N",
        "processes on each host, which share a sharded teacher; default: up to 8");
    add("--device-memory", device_memory, "SIZE",
        "say whether the run fits into this memory, and what would: 80GiB");
    add("--bandwidth", bandwidth, "RATE",
        "estimate the time of a step's sums at this bandwidth per process: 400Gb/s");
    app.add_flag("--json", json, "print the estimate as JSON")->needs(estimate);
  }

  int run(const RunOptions& options, const OptionTree& tree) const {
    EstimateRequest asked = request;
    if (!device_memory.empty()) asked.device_memory = parse_bytes(device_memory, "--device-memory");
    if (!bandwidth.empty()) asked.bandwidth = parse_bandwidth(bandwidth, "--bandwidth");
    if (json) {
      std::cout << estimate_memory_json(options, tree, asked);
    } else {
      estimate_memory(options, tree, asked);
    }
    return 0;
  }
};

}  // namespace littlebit
