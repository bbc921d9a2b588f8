// The starts: methods that compute a layer's initial factors from the teacher's weight. Each is a
// file (src/quant/start_<name>.cpp) and a row of the table in starts.cpp; quant.init picks one by
// name. Deterministic: every random number is a pure function of (seed, layer name, path), so the
// result depends on neither threads nor other layers.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "littlebit/quant/factorization.h"

namespace littlebit {

// The statistics of activations a start cannot do without.
struct StatisticsNeeded {
  bool input_square = false, output_square = false;
};

struct Start {
  std::string name;   // as quant.init has it
  std::string about;  // a half-sentence for the option's help
  // Paths and relative_error as the plan says.
  LayerFactors (*make)(const LayerInput& input, const QuantOptions& options);
  std::vector<std::string> options;  // of section quant: the keys of those it reads
  StatisticsNeeded needs = {};
};

// Every start, in the order of quant.init's choices.
const std::vector<Start>& starts();
std::vector<std::string> start_names();

// The start of that name, which is one of the table's.
const Start& find_start(std::string_view name);

// Whether the start's factors depend on an option that decides initial factors: on all but those
// that only other starts name. (One that no start names, like a seed, counts for every start.)
bool depends_on(const Start& start, std::string_view key);

// Factorises one layer by the start of quant.init, which is not `file`. InputError naming the layer
// where its Frobenius norm is 1e15 or more: squares would overflow.
LayerFactors factorize_layer(const LayerInput& input, const QuantOptions& options);

}  // namespace littlebit
