// Models of random numbers, made in memory: their results mean nothing, their sizes are real.
#pragma once

#include <memory>
#include <vector>

#include "littlebit/bench/options.h"
#include "littlebit/models/decoder.h"
#include "littlebit/optim/optimizer.h"

namespace littlebit {

// The Llama of section `stack` with that many blocks and positions. UsageError: sizes that do not
// fit together.
ModelSpec stack_spec(const StackOptions& options, int64_t blocks, int64_t positions);

// Its dense weights. `trainable`: matrices and LM head require gradients.
Decoder random_decoder(const ModelSpec& spec, at::ScalarType dtype, at::Device device,
                       bool trainable = false);

// A LittleBit model for inference that shares the dense one's embedding, head and norms.
Decoder random_packed(const Decoder& dense, double bits);

// A packed layer alone.
std::unique_ptr<Linear> random_packed_layer(const LayerPlan& plan, at::ScalarType dtype,
                                            at::Device device);

std::vector<LayerPlan> plans_at(Decoder& decoder, double bits);

// Teacher, student and optimizer with random factors.
struct RandomTraining {
  RandomTraining(const ModelSpec& spec, double bits, at::ScalarType dtype, at::Device device);

  Decoder teacher;
  std::vector<LayerPlan> plans;
  std::unique_ptr<Student> student;
  std::unique_ptr<Optimizer> optimizer;
};

}  // namespace littlebit
