// Models of random numbers, made in memory: their results mean nothing, their sizes are real.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "littlebit/bench/options.h"
#include "littlebit/core/scratch_folder.h"
#include "littlebit/models/decoder.h"
#include "littlebit/optim/optimizer.h"

namespace littlebit {

// The config.json of the Llama of section `stack` with that many blocks and positions. UsageError:
// sizes that do not fit together.
Json stack_config(const StackOptions& options, int64_t blocks, int64_t positions);
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

// A decoder's dense weights in a folder, which is removed with this.
class DenseFolder {
 public:
  // `config`: what its config.json is. OutputError where there is no room below the system's
  // temporary folder.
  DenseFolder(Decoder& decoder, const Json& config);
  DenseFolder(const DenseFolder&) = delete;
  DenseFolder& operator=(const DenseFolder&) = delete;
  ~DenseFolder();
  const HfFolder& files() const { return *files_; }  // open

 private:
  ScratchFolder folder_;
  std::optional<HfFolder> files_;
};

// Teacher, student and optimizer with random factors, the same numbers each time whatever the
// levers.
struct RandomTraining {
  RandomTraining(const StackOptions& stack, const StepRun& run, at::ScalarType dtype,
                 at::Device device);

  std::unique_ptr<DenseFolder> folder;  // of a teacher that is streamed
  Decoder teacher;
  std::vector<LayerPlan> plans;
  std::unique_ptr<Student> student;
  std::unique_ptr<Optimizer> optimizer;
};

}  // namespace littlebit
