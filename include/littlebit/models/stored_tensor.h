// A tensor as a decoder's folder holds it, for whoever reads it again and again.
#pragma once

#include <cstdint>
#include <vector>

#include "littlebit/io/hf_folder.h"
#include "littlebit/models/decoder_parts.h"

namespace littlebit {

// The rows that `source` names, mapped, in the type that the file has them in. InputError, by name,
// where the tensor is missing or `shape` is not theirs.
TensorView stored_tensor(const HfFolder& folder, const TensorSource& source,
                         std::vector<int64_t> shape);

}  // namespace littlebit
