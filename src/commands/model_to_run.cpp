#include "model_to_run.h"

#include "littlebit/core/error.h"

namespace littlebit {

void require_model(const ModelOptions& options) {
  if (!options.path.empty()) return;
  throw UsageError("no model was given", "give its folder: --model DIR (model.path=DIR)");
}

at::ScalarType compute_type(EvalDtype dtype) {
  return dtype == EvalDtype::kBf16 ? at::kBFloat16 : at::kFloat;
}

}  // namespace littlebit
