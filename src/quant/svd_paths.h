// Code shared by the starts that begin with a singular value decomposition.
#pragma once

#include <functional>
#include <string>

#include "littlebit/quant/randomized_svd.h"
#include "littlebit/quant/starts.h"

namespace littlebit {

// Changes a path's low-rank factors before their signs and scales are taken. `purpose` names the
// path among all layers', for random numbers.
using RefineFactors = std::function<void(LowRank& factors, const std::string& purpose)>;

// Path by path, each fitted to what those before it leave of the weight: a truncated SVD, refined,
// whose factors are the latents; the scales are the rank-one fits of their magnitudes. Reads
// svd_oversampling and svd_power_iterations.
LayerFactors factorize_paths(const LayerInput& input, const QuantOptions& options,
                             const RefineFactors& refine);

}  // namespace littlebit
