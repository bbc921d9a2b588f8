// Dual-SVID (paper section 3.2): signs and rank-one scales of a truncated SVD's factors.
#include "start_rows.h"
#include "svd_paths.h"

namespace littlebit {
namespace {

LayerFactors make(const LayerInput& input, const QuantOptions& options) {
  return factorize_paths(input, options, nullptr);
}

}  // namespace

Start dual_svid() {
  return {.name = "dual_svid",
          .about = "Dual-SVID (paper section 3.2)",
          .make = make,
          .options = {"quant.svd_oversampling", "quant.svd_power_iterations"}};
}

}  // namespace littlebit
