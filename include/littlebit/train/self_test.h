// `littlebit-train --self-test`: whether this machine's device computes what it should.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "littlebit/core/error.h"
#include "littlebit/train/options.h"

namespace littlebit {

struct SelfTestRow {
  std::string check;
  double difference = 0, tolerance = 0;
  bool ok() const { return difference <= tolerance; }  // false where the difference is NaN
};

// Sign kernels, packed words, forward, losses, gradients and two optimizer steps of a small made
// model on `device`, with products in `compute_dtype` (fp32 or bf16), against plain fp64 on the
// CPU. Bits are compared exactly (a count), numbers by ||a - b|| / ||b||. Everything is a pure
// function of the seed. Seconds.
std::vector<SelfTestRow> self_test(at::Device device, at::ScalarType compute_dtype, uint64_t seed);

// The tests on train.device, in fp32 and, on GPUs or where train.dtype asks for it, bf16; prints a
// table for each. kBug where a row failed. UsageError where the device cannot be used.
ExitCode run_self_test(const TrainOptions& options);

}  // namespace littlebit
