// Rows of a tensor converted, handed on and let go, at most 4 Mi numbers (or one row) at a time.
#include "tensor_blocks.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <functional>
#include <span>

#include "littlebit/io/safetensors_writer.h"

namespace littlebit {
namespace {

constexpr int64_t kBlockElements = 1 << 22;

// Calls visit(bytes) for consecutive blocks; together they are the tensor in `dtype`, contiguous.
void visit_bytes(const at::Tensor& tensor, at::ScalarType dtype,
                 const std::function<void(std::span<const std::byte>)>& visit) {
  const auto visit_block = [&](const at::Tensor& block) {
    const at::Tensor stored = block.detach().to(at::kCPU, dtype).contiguous();
    visit({static_cast<const std::byte*>(stored.const_data_ptr()), stored.nbytes()});
  };
  if (tensor.dim() == 0 || tensor.numel() <= kBlockElements) return visit_block(tensor);
  const int64_t rows = tensor.size(0);
  const int64_t step = std::max<int64_t>(1, kBlockElements / (tensor.numel() / rows));
  for (int64_t first = 0; first < rows; first += step) {
    visit_block(tensor.narrow(0, first, std::min(step, rows - first)));
  }
}

}  // namespace

void write_rounded(SafetensorsWriter& writer, const at::Tensor& tensor, at::ScalarType dtype) {
  visit_bytes(tensor, dtype, [&](std::span<const std::byte> bytes) { writer.write(bytes); });
}

void write_rounded(SafetensorsWriter& writer, const GroupedRows& matrix, at::ScalarType dtype) {
  const int64_t step = std::max<int64_t>(1, kBlockElements / std::max<int64_t>(1, matrix.cols));
  for (int64_t first = 0; first < matrix.rows(); first += step) {
    write_rounded(writer, widen_rows(matrix, first, std::min(step, matrix.rows() - first)), dtype);
  }
}

bool same_bytes(const TensorView& view, const at::Tensor& tensor, at::ScalarType dtype) {
  size_t at = 0;
  bool same = true;
  visit_bytes(tensor, dtype, [&](std::span<const std::byte> bytes) {
    same = same && bytes.size() <= view.data.size() - at &&
           std::memcmp(view.data.data() + at, bytes.data(), bytes.size()) == 0;
    if (same) at += bytes.size();
  });
  return same && at == view.data.size();
}

}  // namespace littlebit
