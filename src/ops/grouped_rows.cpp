// Matrices of whole numbers with a scale for every group of columns: embeddings and LM heads of
// packed exports. Generating a token multiplies one row, which costs what reading the matrix costs:
// so the loop reads the numbers as they are stored. Many rows are worth widening, piece by piece,
// so that the wide matrix never exists as a whole.
#include "littlebit/ops/grouped_rows.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>

#include <algorithm>

#include "littlebit/core/error.h"
#include "littlebit/kernels/grouped_rows.h"
#include "littlebit/ops/product.h"
#include "ops/made_numbers.h"
#include "ops/operation.h"
#include "ops/rows.h"

namespace littlebit {
namespace {

constexpr int64_t kGrain = 1 << 18;  // numbers worth a thread of their own

GroupedView view_of(const GroupedRows& matrix) {
  return {{matrix.bits(), matrix.groups(), matrix.size()},
          static_cast<const uint8_t*>(matrix.numbers.const_data_ptr()),
          static_cast<const uint16_t*>(matrix.scales.const_data_ptr())};
}

// Numbers [n, groups, ...] and scales [n, groups] as entries [n, cols], by plain ATen.
at::Tensor widen_plain(const at::Tensor& numbers, const at::Tensor& scales, int64_t cols) {
  at::Tensor wide = numbers;
  if (numbers.scalar_type() == at::kByte) {
    // A byte holds column c of its group in the low half and column c + size / 2 in the high one:
    // an inner loop reads neighbouring bytes and needs only one of the halves.
    constexpr int kShift = 8;  // two numbers of -8 .. 7 in a byte: the low halves come first
    wide = at::cat({numbers.bitwise_and(15), numbers.bitwise_right_shift(4)}, 2).to(at::kFloat) -
           kShift;
  }
  wide = wide.to(at::kFloat) * scales.to(at::kFloat).unsqueeze(2);
  return wide.flatten(1).narrow(1, 0, cols);
}

at::ScalarType sum_type(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

// x times the widened pieces' transposes; widen(begin, count) makes a piece in fp32.
template <class Widen>
at::Tensor by_pieces(const at::Tensor& x, int64_t rows, const Widen& widen) {
  const at::ScalarType type = sum_type(x);
  const auto piece = [&](int64_t begin, int64_t count) { return widen(begin, count).to(type); };
  return chunked_matmul(rows_of(x).to(type), rows, piece).view(with_last(x, rows));
}

}  // namespace

// By blocks of rows, so that a large embedding in bf16 is never converted as a whole.
GroupedRows group_rows(const at::Tensor& matrix, int bits, int64_t size) {
  LB_ASSERT((bits == 8 || bits == 4) && size > 0 && size % kGroupUnit == 0 && size <= kMaxInGroup,
            "a layout");
  const int64_t rows = matrix.size(0), cols = matrix.size(1), groups = (cols + size - 1) / size;
  GroupedRows result{at::empty({rows, groups, size * bits / 8}, bits == 8 ? at::kChar : at::kByte),
                     at::empty({rows, groups}, at::kBFloat16), cols};
  const GroupedShape shape{bits, groups, size};
  auto* numbers = static_cast<uint8_t*>(result.numbers.data_ptr());
  auto* scales = static_cast<uint16_t*>(result.scales.data_ptr());
  constexpr int64_t kBlock = 1 << 22;  // numbers converted at a time
  const int64_t step = std::max<int64_t>(1, kBlock / cols);
  for (int64_t first = 0; first < rows; first += step) {
    const int64_t count = std::min(step, rows - first);
    const at::Tensor block =
        matrix.detach().narrow(0, first, count).to(at::kCPU, at::kFloat).contiguous();
    const auto* from = block.const_data_ptr<float>();
    at::parallel_for(0, count, rows_per_thread(cols, kGrain), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        group_row(from + r * cols, cols, shape, numbers + (first + r) * shape.row_bytes(),
                  scales + (first + r) * groups);
      }
    });
  }
  return result;
}

at::Tensor look_up(const GroupedRows& matrix, const at::Tensor& ids) {
  const at::Tensor flat = ids.reshape({-1});
  std::vector<int64_t> shape = ids.sizes().vec();
  shape.push_back(matrix.cols);
  return widen_plain(matrix.numbers.index_select(0, flat), matrix.scales.index_select(0, flat),
                     matrix.cols)
      .reshape(shape);
}

at::Tensor widen_rows(const GroupedRows& matrix, int64_t begin, int64_t count) {
  if (!matrix.numbers.is_cpu()) {
    return widen_plain(matrix.numbers.narrow(0, begin, count),
                       matrix.scales.narrow(0, begin, count), matrix.cols);
  }
  const at::Tensor out = at::empty({count, matrix.cols}, at::kFloat);
  const GroupedView view = view_of(matrix);
  at::parallel_for(0, count, rows_per_thread(matrix.cols, kGrain),
                   [&](int64_t first, int64_t last) {
                     widen_grouped(view, matrix.cols, begin + first, begin + last,
                                   out.data_ptr<float>() + first * matrix.cols);
                   });
  return out;
}

at::Tensor grouped_product(const at::Tensor& x, const GroupedRows& matrix) {
  LB_ASSERT(x.size(-1) == matrix.cols, "columns of the matrix");
  return dispatched<GroupedProduct>().call(x, matrix.numbers, matrix.scales);
}

at::Tensor GroupedProduct::twin(const at::Tensor& x, const at::Tensor& numbers,
                                const at::Tensor& scales) {
  return by_pieces(x, numbers.size(0), [&](int64_t begin, int64_t count) {
    return widen_plain(numbers.narrow(0, begin, count), scales.narrow(0, begin, count), x.size(-1));
  });
}

at::Tensor GroupedProduct::cpu(const at::Tensor& x, const at::Tensor& numbers,
                               const at::Tensor& scales) {
  constexpr int64_t kFewRows = 4;  // beyond, one pass over the matrix for all rows is cheaper
  const GroupedRows matrix{numbers.contiguous(), scales.contiguous(), x.size(-1)};
  const int64_t d_out = matrix.rows(), count = x.numel() / std::max<int64_t>(1, x.size(-1));
  if (count > kFewRows || x.scalar_type() == at::kDouble) {
    return by_pieces(x, d_out,
                     [&](int64_t begin, int64_t rows) { return widen_rows(matrix, begin, rows); });
  }
  const GroupedView view = view_of(matrix);
  const int64_t padded = view.shape.padded_cols();
  // Zeros behind the last column, so that the loop needs no special case for a group that is not
  // full.
  const at::Tensor from =
      at::constant_pad_nd(x.reshape({count, matrix.cols}).to(at::kFloat), {0, padded - matrix.cols})
          .contiguous();
  const at::Tensor y = at::empty({count, d_out}, at::kFloat);
  // Threads share the matrix's rows, each of which is read once for every row of x.
  at::parallel_for(0, d_out, rows_per_thread(padded, kGrain), [&](int64_t begin, int64_t end) {
    for (int64_t r = 0; r < count; ++r) {
      multiply_grouped(view, from.const_data_ptr<float>() + r * padded, begin, end,
                       y.data_ptr<float>() + r * d_out);
    }
  });
  return y.view(with_last(x, d_out));
}

std::vector<OperationCase> GroupedProduct::cases() {
  std::vector<OperationCase> cases;
  const auto add = [&](int bits, int64_t size, int64_t rows, int64_t d_out, int64_t d_in,
                       at::ScalarType dtype, bool timed) {
    const int64_t groups = (d_in + size - 1) / size;
    cases.push_back({.operation = kName,
                     .shape = std::to_string(bits) + " bits in groups of " + std::to_string(size) +
                              ", " + std::to_string(rows) + " rows, " + std::to_string(d_out) +
                              " x " + std::to_string(d_in),
                     .dtype = dtype,
                     .tolerance = 1e-6,  // the products are exact, the order of the sums is not
                     .flops = 2.0 * static_cast<double>(rows) * static_cast<double>(d_out * d_in),
                     .bytes = static_cast<double>(d_out * groups * (size * bits / 8 + 2)),
                     .timed = timed,
                     .arguments = [=](at::Device device) {
                       const at::Tensor words =
                           made_words("numbers", d_out * groups * size * bits / 32);
                       return torch::jit::Stack{
                           made_numbers("x", {rows, 1, d_in}).to(device, dtype),
                           words.view(bits == 8 ? at::kChar : at::kByte)
                               .view({d_out, groups, size * bits / 8})
                               .to(device),
                           made_numbers("scales", {d_out, groups}).to(device, at::kBFloat16)};
                     }});
  };
  for (const int bits : {8, 4}) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kDouble}) {
      for (const int64_t rows : {1, 4, 5, 33}) add(bits, 32, rows, 97, 203, dtype, false);
      add(bits, 64, 2, 65, 128, dtype, /*timed=*/false);
      add(bits, 128, 3, 7, 130, dtype, /*timed=*/false);
    }
    for (const int64_t rows : {1, 64}) {
      add(bits, bits == 8 ? 64 : 32, rows, 32000, 2048, at::kFloat, /*timed=*/true);
    }
  }
  return cases;
}

}  // namespace littlebit
