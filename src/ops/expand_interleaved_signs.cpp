// Rows of a matrix from the layout that inference keeps: products with many rows of x
// expand a piece and multiply it densely. The twin brings the words of 16 rows that lie side by
// side into order and is then the expansion of plain rows.
#include "littlebit/ops/expand_interleaved_signs.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "littlebit/core/error.h"
#include "littlebit/kernels/sign_product.h"
#include "littlebit/ops/expand_signs.h"
#include "ops/interleaved.h"
#include "ops/made_numbers.h"
#include "ops/operation.h"
#include "ops/rows.h"

namespace littlebit {

at::Tensor plain_interleaved(const at::Tensor& words, int64_t rows, int64_t cols,
                             at::ScalarType dtype) {
  constexpr int64_t kBlock = InterleavedSigns::kBlock;
  const int64_t per_row = (cols + 31) / 32;
  // [blocks, words of a row, 16 rows] to [rows, words]; rows that fill the last block are dropped.
  const at::Tensor by_rows =
      words.view({-1, per_row, kBlock}).transpose(1, 2).reshape({-1}).narrow(0, 0, rows * per_row);
  return expand_reference(by_rows, 0, rows, per_row * 32, dtype).narrow(1, 0, cols);
}

at::Tensor made_interleaved(int64_t rows, int64_t cols) {
  const InterleavedSigns shape{nullptr, rows, cols};
  const at::Tensor words = at::empty({shape.num_words()}, at::kInt);
  const at::Tensor from = made_words("interleaved", rows * shape.words_per_row());
  interleave_signs(interleaved_words(from), 0, shape.words_per_row() * 32, rows, cols,
                   reinterpret_cast<uint32_t*>(words.data_ptr<int32_t>()));
  return words;
}

void expand_interleaved_signs(const at::Tensor& out, const at::Tensor& words, int64_t rows,
                              int64_t row_begin, const at::Tensor& row_scale,
                              const at::Tensor& column_scale) {
  LB_ASSERT(row_begin + out.size(0) <= rows, "rows of the expansion");
  LB_ASSERT(!(row_scale.defined() && column_scale.defined()), "one scale at most");
  dispatched<ExpandInterleavedSigns>().call(out, words, rows, row_begin, optional_tensor(row_scale),
                                            optional_tensor(column_scale));
}

void ExpandInterleavedSigns::twin(const at::Tensor& out, const at::Tensor& words, int64_t rows,
                                  int64_t row_begin, const std::optional<at::Tensor>& row_scale,
                                  const std::optional<at::Tensor>& column_scale) {
  at::Tensor signs = plain_interleaved(words, rows, out.size(1), out.scalar_type());
  if (row_scale) signs = signs * row_scale->unsqueeze(1);
  if (column_scale) signs = signs * *column_scale;
  out.copy_(signs.narrow(0, row_begin, out.size(0)));
}

void ExpandInterleavedSigns::cpu(const at::Tensor& out, const at::Tensor& words, int64_t rows,
                                 int64_t row_begin, const std::optional<at::Tensor>& row_scale,
                                 const std::optional<at::Tensor>& column_scale) {
  with_job(out, words, rows, row_begin, row_scale, column_scale,
           []<class T>(const InterleavedRows<T>& job) {
             constexpr int64_t kGrain = 1 << 16;  // elements worth a thread of their own
             const int64_t grain = rows_per_thread(job.expansion.signs.cols, kGrain);
             at::parallel_for(job.begin, job.end, grain, [&](int64_t begin, int64_t end) {
               InterleavedExpansion<T> part = job.expansion;
               part.out += (begin - job.begin) * part.out_stride;
               expand_interleaved(part, begin, end);
             });
           });
}

std::vector<OperationCase> ExpandInterleavedSigns::cases() {
  std::vector<OperationCase> cases;
  const int64_t rows = 70, cols = 203, first = 17, count = 40;
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
    for (const std::string scaled : {"nothing", "rows", "columns"}) {
      cases.push_back({.operation = kName,
                       .shape = "40 of 70 x 203, scaled by " + scaled,
                       .dtype = dtype,
                       .tolerance = 0,
                       .bytes = static_cast<double>(count * cols) *
                                (1.0 / 8 + static_cast<double>(c10::elementSize(dtype))),
                       .arguments = [=](at::Device device) {
                         const auto scale = [&](const std::string& of, int64_t size) {
                           return of == scaled
                                      ? std::optional(made_numbers(of, {size}).to(device, dtype))
                                      : std::nullopt;
                         };
                         const at::Tensor wide = at::zeros(
                             {count, cols + 21}, at::TensorOptions().dtype(dtype).device(device));
                         return torch::jit::Stack{wide.narrow(1, 21, cols),
                                                  made_interleaved(rows, cols).to(device),
                                                  rows,
                                                  first,
                                                  scale("rows", rows),
                                                  scale("columns", cols)};
                       }});
    }
  }
  return cases;
}

}  // namespace littlebit
