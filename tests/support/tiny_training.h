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

  explicit TinyTraining(const std::filesystem::path& folder, const QuantOptions& options = {},
                        at::Device device = at::kCPU)
      : teacher(folder, at::kFloat, device), quant(options) {
    Decoder open = open_decoder(teacher.decoder);
    plans = plan_model(open, quant);
    student = std::make_unique<Student>(std::move(open), plans);
    optimizer = std::make_unique<Optimizer>(*student, OptimOptions{}, Surrogate::kSmoothSign);
    factorize_model(*student, latents(), teacher.folder, plans, quant, 1, {});
  }

  std::vector<at::Tensor> latents() const {
    std::vector<at::Tensor> latents;
    for (const OptimizerGroup& group : optimizer->groups()) latents.push_back(group.latents);
    return latents;
  }
};

}  // namespace littlebit::test
