#include "model_to_run.h"

#include "littlebit/core/error.h"

namespace littlebit {

void require_model(const ModelOptions& options) {
  if (!options.path.empty()) return;
  throw UsageError("no model was given", "give its folder: --model DIR (model.path=DIR)");
}

}  // namespace littlebit
