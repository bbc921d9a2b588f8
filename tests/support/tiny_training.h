// What a training step works on, of a model folder of a few kilobytes: the teacher, a student
// factorised from it, and its optimizer.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "littlebit/optim/optimizer.h"
#include "littlebit/quant/initialize.h"
#include "support/loaded_model.h"

namespace littlebit::test {

struct TinyTraining {
  LoadedModel teacher;
  QuantOptions quant;
  std::vector<LayerPlan> plans;
  std::unique_ptr<Student> student;
  std::unique_ptr<Optimizer> optimizer;
  std::vector<GroupGradients> gradients;

  explicit TinyTraining(const std::filesystem::path& folder, const QuantOptions& options = {},
                        at::Device device = at::kCPU, const OptimOptions& optim = {})
      : teacher(folder, at::kFloat, device), quant(options) {
    Decoder open = open_decoder(teacher.decoder);
    plans = plan_model(open, quant);
    student = std::make_unique<Student>(std::move(open), plans);
    optimizer = std::make_unique<Optimizer>(*student, optim, Surrogate::kSmoothSign);
    LatentSink sink(*student, optimizer->states(), quant.latent_rms);
    factorize_model(sink, teacher.folder, plans, quant, 1, {});
    gradients = gradients_of(*student);
  }

  std::vector<at::Tensor> latents() const {
    std::vector<at::Tensor> latents;
    for (const GroupState& state : optimizer->states()) latents.push_back(state.latents());
    return latents;
  }
};

}  // namespace littlebit::test
