// Changed copies of a model folder: other tensor names, types, extra tensors, another config.json.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "littlebit/io/hf_folder.h"

namespace littlebit {

// What becomes of one tensor: its new names ({}: dropped; two: stored twice) and its type.
struct NewTensor {
  std::vector<std::string> names;
  Dtype dtype;
};

// Writes `to` (a folder made here) as a copy of the model in `from`, in one file.
void rewrite_model(
    const std::filesystem::path& from, const std::filesystem::path& to,
    const std::function<NewTensor(const TensorView&)>& rewrite,
    const std::function<void(Json&)>& edit_config = [](Json&) {});

}  // namespace littlebit
