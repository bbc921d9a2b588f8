// Shapes and types first, numbers then.
#include "load_grouped.h"

#include "littlebit/core/error.h"
#include "littlebit/models/decoder.h"
#include "littlebit/models/load.h"
#include "littlebit/nn/tensor_io.h"

namespace littlebit {

std::optional<GroupedRows> load_grouped(const HfFolder& folder, const std::string& name,
                                        int64_t rows, int64_t cols, at::Device device) {
  const TensorView* numbers = find_tensor(folder, name);
  const bool is_grouped = numbers != nullptr && numbers->shape.size() == 3 &&
                          (numbers->dtype == Dtype::kI8 || numbers->dtype == Dtype::kU8);
  if (!is_grouped) return std::nullopt;
  const std::string where = folder.path().string();
  const int bits = numbers->dtype == Dtype::kI8 ? 8 : 4;
  const int64_t most = std::max<int64_t>(1, kMaxInGroup * bits / 8);
  const int64_t bytes = numbers->shape[2], size = bytes <= most ? bytes * 8 / bits : 0;
  const int64_t groups = size > 0 ? (cols + size - 1) / size : 0;
  if (size <= 0 || size % kGroupUnit != 0 || numbers->shape[0] != rows ||
      numbers->shape[1] != groups) {
    throw InputError(where + ": tensor '" + numbers->name + "' has shape " +
                         shape_text(numbers->shape) + ", expected " + std::to_string(rows) +
                         " rows of " + std::to_string(cols) + " numbers of " +
                         std::to_string(bits) + " bits, in groups of a multiple of 32, " +
                         "at most 256",
                     "config.json and the tensor files belong to different models");
  }
  const TensorView* scales = find_tensor(folder, name + "_scale");
  if (scales == nullptr) {
    throw InputError(where + ": tensor '" + numbers->name + "' holds " + std::to_string(bits) +
                         "-bit numbers, and their scales '" + name + "_scale' are missing",
                     "the folder is incomplete; export it again");
  }
  if (scales->dtype != Dtype::kBF16 || scales->shape != std::vector<int64_t>{rows, groups}) {
    throw InputError(where + ": tensor '" + scales->name + "' is " + scales->dtype_text() + " " +
                         shape_text(scales->shape) + ", expected BF16 " +
                         shape_text(std::vector<int64_t>{rows, groups}) + ", one scale per group",
                     "the folder is incomplete; export it again");
  }
  return GroupedRows{map_tensor(*numbers).to(device),
                     load_tensor(*scales, at::kBFloat16, device, where), cols};
}

}  // namespace littlebit
