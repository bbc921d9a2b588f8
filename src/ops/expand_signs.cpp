// Sign bits to a dense matrix of +1 and -1, with a row's or a column's scale put in on the way: a
// training step multiplies by dense matrices, which it makes before a group runs and frees behind
// it. `out` is written in place and may be a part of a wider matrix, which is how both paths of a
// layer become one matrix.
#include "littlebit/ops/expand_signs.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "littlebit/core/error.h"
#include "ops/made_numbers.h"
#include "ops/operation.h"
#include "ops/rows.h"

namespace littlebit {

void expand_sign_matrix(const at::Tensor& out, const at::Tensor& words, int64_t first_bit,
                        const at::Tensor& row_scale, const at::Tensor& column_scale) {
  LB_ASSERT(!(row_scale.defined() && column_scale.defined()), "one scale at most");
  dispatched<ExpandSigns>().call(out, words, first_bit, optional_tensor(row_scale),
                                 optional_tensor(column_scale));
}

at::Tensor expand_reference(const at::Tensor& words, int64_t first_bit, int64_t rows, int64_t cols,
                            at::ScalarType dtype) {
  const at::Tensor index =
      at::arange(first_bit, first_bit + rows * cols, words.options().dtype(at::kLong));
  // Bit i % 32 of word i / 32; a set bit is a negative sign.
  const at::Tensor bits = words.index_select(0, index.bitwise_right_shift(5))
                              .bitwise_right_shift(index.bitwise_and(31).to(at::kInt))
                              .bitwise_and(1);
  return bits.mul(-2).add(1).to(dtype).view({rows, cols});
}

void ExpandSigns::twin(const at::Tensor& out, const at::Tensor& words, int64_t first_bit,
                       const std::optional<at::Tensor>& row_scale,
                       const std::optional<at::Tensor>& column_scale) {
  // A sign times a scale is the scale or its negative: exact in every type.
  at::Tensor signs =
      expand_reference(words, first_bit, out.size(0), out.size(1), out.scalar_type());
  if (row_scale) signs.mul_(row_scale->unsqueeze(1));
  if (column_scale) signs.mul_(*column_scale);
  out.copy_(signs);
}

void ExpandSigns::cpu(const at::Tensor& out, const at::Tensor& words, int64_t first_bit,
                      const std::optional<at::Tensor>& row_scale,
                      const std::optional<at::Tensor>& column_scale) {
  with_job(out, words, first_bit, row_scale, column_scale, [](const auto& job) {
    constexpr int64_t kGrain = 1 << 16;  // elements worth a thread of their own
    const int64_t grain = rows_per_thread(job.cols, kGrain);
    at::parallel_for(0, job.rows, grain,
                     [&](int64_t begin, int64_t end) { expand_signs(job, begin, end); });
  });
}

std::vector<OperationCase> ExpandSigns::cases() {
  struct Shape {
    int64_t rows, cols, gap, first_bit;
  };
  std::vector<OperationCase> cases;
  const auto add = [&](const Shape& shape, at::ScalarType dtype, const char* scaled, bool timed) {
    const auto numbers = static_cast<double>(shape.rows * shape.cols);
    cases.push_back(
        {.operation = kName,
         .shape = std::to_string(shape.rows) + " x " + std::to_string(shape.cols) + " from bit " +
                  std::to_string(shape.first_bit) + ", scaled by " + scaled,
         .dtype = dtype,
         .tolerance = 0,
         .bytes = numbers * (1.0 / 8 + static_cast<double>(c10::elementSize(dtype))),
         .timed = timed,
         .arguments = [=](at::Device device) {
           const auto scale = [&](const std::string& of, int64_t size) {
             return of == scaled ? std::optional(made_numbers(of, {size}).to(device, dtype))
                                 : std::nullopt;
           };
           const int64_t words = (shape.first_bit + shape.rows * shape.cols + 31) / 32;
           const at::Tensor wide = at::zeros({shape.rows, shape.cols + shape.gap},
                                             at::TensorOptions().dtype(dtype).device(device));
           return torch::jit::Stack{wide.narrow(1, shape.gap, shape.cols),
                                    made_words(kName, words).to(device), shape.first_bit,
                                    scale("rows", shape.rows), scale("columns", shape.cols)};
         }});
  };
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
    for (const char* scaled : {"nothing", "rows", "columns"}) {
      for (const Shape& shape : {Shape{67, 203, 21, 96}, {1, 5, 0, 0}, {9, 64, 0, 31}}) {
        add(shape, dtype, scaled, /*timed=*/false);
      }
    }
    add({11008, 4096, 0, 0}, dtype, "columns", /*timed=*/true);
  }
  return cases;
}

}  // namespace littlebit
