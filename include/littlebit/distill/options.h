// What the student learns from the teacher (section `distill`).
#pragma once

namespace littlebit {

class OptionGroup;

enum class Normalization { kReference, kPerToken };

struct DistillOptions {
  double kl_weight = 1;
  double hidden_weight = 10;
  Normalization normalization = Normalization::kReference;
  void declare(OptionGroup& group);
};

}  // namespace littlebit
