// Matrices that a packed folder holds in groups of small whole numbers (docs/formats.md).
#pragma once

#include <optional>
#include <string>

#include "littlebit/io/hf_folder.h"
#include "littlebit/ops/grouped_rows.h"

namespace littlebit {

// The matrix [rows, cols] `name` where the folder holds it so; its numbers stay mapped on the CPU.
// InputError: numbers or scales of another shape or type, scales missing or not finite.
std::optional<GroupedRows> load_grouped(const HfFolder& folder, const std::string& name,
                                        int64_t rows, int64_t cols, at::Device device);

}  // namespace littlebit
