// From target bits per weight to ranks, and the bits that come out: specs section 3.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "littlebit/quant/options.h"

namespace littlebit {

// One linear layer's plan.
struct LayerPlan {
  std::string name;
  int64_t d_in = 0, d_out = 0;
  int64_t rank = 0;
  int paths = 1;
  bool at_floor = false;  // min_rank was more than the budget gives
  bool at_cap = false;    // min(d_in, d_out) was less than the budget gives

  int64_t latents() const { return paths * rank * (d_in + d_out); }
  double effective_bits() const;  // the authors' figure, per weight of the dense layer
  int64_t stored_bits()
      const;  // packed words with their row padding and bf16 scales, as exported; without the bias
};

// The authors' rule. UsageError naming the layer where min_rank > min(d_in, d_out).
LayerPlan plan_layer(const std::string& name, int64_t d_in, int64_t d_out,
                     const QuantOptions& options);

}  // namespace littlebit
