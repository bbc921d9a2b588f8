// Matrices of whole numbers of 8 or 4 bits with a scale for every few of them (the layout is that
// of kernels/grouped_rows.h): rows looked up, products, without a wide copy of the whole. No
// gradients.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "littlebit/ops/operation_case.h"

namespace littlebit {

// Sizes of groups are multiples of the one, and at most the other.
constexpr int64_t kGroupUnit = 32, kMaxInGroup = 256;

// [rows, cols] in groups of `size()` columns; both tensors contiguous and on one device.
struct GroupedRows {
  at::Tensor numbers;  // int8 [rows, groups, size]; 4 bits: uint8 [rows, groups, size / 2]
  at::Tensor scales;   // bf16 [rows, groups]
  int64_t cols = 0;

  int64_t rows() const { return numbers.size(0); }
  int bits() const { return numbers.scalar_type() == at::kChar ? 8 : 4; }
  int64_t groups() const { return numbers.size(1); }
  int64_t size() const { return numbers.size(2) * 8 / bits(); }
};

// The nearest such matrix to `matrix` (a floating type, any device; read some rows at a time), on
// the CPU. bits 8 or 4.
GroupedRows group_rows(const at::Tensor& matrix, int bits, int64_t size);

// Rows `ids` (int64, any shape) -> [..., cols] in fp32; only these are widened.
at::Tensor look_up(const GroupedRows& matrix, const at::Tensor& ids);

// Rows [begin, begin + count) in fp32.
at::Tensor widen_rows(const GroupedRows& matrix, int64_t begin, int64_t count);

// x [..., cols] (fp32, bf16 or fp64) times the matrix's transpose: [..., rows], summed in fp32 and
// left so (fp64 for fp64). Of the wide matrix only a part exists at a time, none for a few rows of
// x on the CPU.
at::Tensor grouped_product(const at::Tensor& x, const GroupedRows& matrix);

// The operation itself (src/ops/operation.h).
struct GroupedProduct {
  static constexpr char kName[] = "littlebit::grouped_product";
  static constexpr char kArguments[] = "(Tensor x, Tensor numbers, Tensor scales) -> Tensor";
  static constexpr bool kTwinDifferentiates = false;
  static at::Tensor twin(const at::Tensor& x, const at::Tensor& numbers, const at::Tensor& scales);
  static at::Tensor cpu(const at::Tensor& x, const at::Tensor& numbers, const at::Tensor& scales);
  static std::vector<OperationCase> cases();
};

}  // namespace littlebit
