// Optimizer and learning-rate schedule (section `optim`).
#pragma once

namespace littlebit {

class OptionGroup;

enum class Schedule { kCosine, kConstant, kLinear };
enum class MomentType { kFp32, kBf16, kInt8 };    // of latents' moments (kernels/moment_codes.h)
enum class StateDevice { kAuto, kDevice, kCpu };  // where latents and their moments are

struct OptimOptions {
  double learning_rate = 4e-5;
  double latent_learning_rate = 0;  // 0: learning_rate
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0;
  double warmup_ratio = 0.02;
  Schedule schedule = Schedule::kCosine;
  double max_grad_norm = 1;  // 0: no clipping
  MomentType moments = MomentType::kFp32;
  StateDevice state_device = StateDevice::kAuto;  // kAuto counts as kDevice here
  void declare(OptionGroup& group);
};

}  // namespace littlebit
