// How the loops over interleaved signs are given to ATen's threads.
#include "littlebit/ops/interleaved_signs.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/zeros.h>
#include <c10/util/BFloat16.h>

#include <algorithm>

#include "littlebit/core/error.h"
#include "littlebit/kernels/sign_product.h"
#include "littlebit/ops/signs.h"
#include "ops/made_numbers.h"
#include "ops/operation.h"

namespace littlebit {
namespace {

const uint32_t* word_data(const at::Tensor& words) {
  return reinterpret_cast<const uint32_t*>(words.const_data_ptr<int32_t>());
}

// T: what ATen calls the element, K: what the kernel does.
template <class T, class K>
void expand_cpu(const InterleavedSigns& signs, const at::Tensor& out, int64_t row_begin,
                const std::optional<at::Tensor>& row_scale,
                const std::optional<at::Tensor>& column_scale) {
  const auto data = [](const std::optional<at::Tensor>& t) {
    return t ? reinterpret_cast<const K*>(t->const_data_ptr<T>()) : nullptr;
  };
  K* const first = reinterpret_cast<K*>(out.data_ptr<T>());
  constexpr int64_t kGrain = 1 << 16;  // elements worth a thread of their own
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, signs.cols));
  at::parallel_for(0, out.size(0), grain, [&](int64_t begin, int64_t end) {
    const InterleavedExpansion<K> job{signs, data(row_scale), data(column_scale),
                                      first + begin * out.stride(0), out.stride(0)};
    expand_interleaved(job, row_begin + begin, row_begin + end);
  });
}

// The whole matrix by plain ATen operations.
at::Tensor plain_signs(const at::Tensor& words, int64_t rows, int64_t cols, at::ScalarType dtype) {
  constexpr int64_t kBlock = InterleavedSigns::kBlock;
  const int64_t per_row = (cols + 31) / 32;
  const at::Tensor by_rows =
      words.view({-1, per_row, kBlock}).transpose(1, 2).reshape({-1}).narrow(0, 0, rows * per_row);
  return expand_reference(by_rows, 0, rows, per_row * 32, dtype).narrow(1, 0, cols);
}

// Words whose bits beyond the matrix are 0, as the layout has them.
at::Tensor made_interleaved(int64_t rows, int64_t cols) {
  const InterleavedSigns shape{nullptr, rows, cols};
  const at::Tensor words = at::empty({shape.num_words()}, at::kInt);
  const at::Tensor from = made_words("interleaved", rows * shape.words_per_row());
  interleave_signs(word_data(from), 0, shape.words_per_row() * 32, rows, cols,
                   reinterpret_cast<uint32_t*>(words.data_ptr<int32_t>()));
  return words;
}

}  // namespace

at::Tensor multiply_interleaved_signs(const at::Tensor& words, int64_t rows, const at::Tensor& x,
                                      const at::Tensor& scale) {
  return dispatched<MultiplyInterleavedSigns>().call(words, rows, x, optional_tensor(scale));
}

void expand_interleaved_signs(const at::Tensor& out, const at::Tensor& words, int64_t rows,
                              int64_t row_begin, const at::Tensor& row_scale,
                              const at::Tensor& column_scale) {
  LB_ASSERT(row_begin + out.size(0) <= rows, "rows of the expansion");
  LB_ASSERT(!(row_scale.defined() && column_scale.defined()), "one scale at most");
  dispatched<ExpandInterleavedSigns>().call(out, words, rows, row_begin, optional_tensor(row_scale),
                                            optional_tensor(column_scale));
}

at::Tensor MultiplyInterleavedSigns::twin(const at::Tensor& words, int64_t rows,
                                          const at::Tensor& x,
                                          const std::optional<at::Tensor>& scale) {
  const at::Tensor signs = plain_signs(words, rows, x.size(1), at::kFloat);
  return at::matmul(scale ? x * *scale : x, signs.t());
}

at::Tensor MultiplyInterleavedSigns::cpu(const at::Tensor& words, int64_t rows, const at::Tensor& x,
                                         const std::optional<at::Tensor>& scale) {
  const int64_t cols = x.size(1);
  const InterleavedSigns signs{word_data(words), rows, cols};
  const at::Tensor from = x.contiguous();
  const int64_t table_size = sign_table_size(cols), count = from.size(0);
  const int64_t padded = signs.blocks() * InterleavedSigns::kBlock;
  const at::Tensor y = at::empty({count, padded}, from.options());
  const auto build = [&](int64_t m, float* tables) {
    build_sign_tables(from.const_data_ptr<float>() + m * cols,
                      scale ? scale->const_data_ptr<float>() : nullptr, cols, tables);
  };
  const auto multiply_blocks = [&](int64_t m, const float* tables, int64_t begin, int64_t end) {
    multiply_signs(signs, tables, begin, end, y.data_ptr<float>() + m * padded);
  };
  constexpr int64_t kGrain = 1 << 21;  // weights worth a thread of their own
  constexpr int64_t kRows = 8;         // whose tables are kept at a time: they stay in the cache
  constexpr int64_t kBlocks = 4;       // whose bits go through all of them
  if (count <= kRows) {
    const at::Tensor tables = at::empty({count, table_size}, from.options());
    float* const first = tables.data_ptr<float>();
    for (int64_t m = 0; m < count; ++m) build(m, first + m * table_size);
    const int64_t of_block = InterleavedSigns::kBlock * cols * count;
    at::parallel_for(0, signs.blocks(), std::max(kBlocks, kGrain / of_block),
                     [&](int64_t begin, int64_t end) {
                       for (int64_t m = 0; m < count; ++m) {
                         multiply_blocks(m, first + m * table_size, begin, end);
                       }
                     });
    return y.narrow(1, 0, rows);
  }
  const int64_t grain = std::max<int64_t>(1, kGrain / (rows * cols));
  at::parallel_for(0, count, std::max(kRows, grain), [&](int64_t begin, int64_t end) {
    std::vector<float> tables(kRows * table_size);
    for (int64_t first = begin; first < end; first += kRows) {
      const int64_t last = std::min(end, first + kRows);
      for (int64_t m = first; m < last; ++m) build(m, tables.data() + (m - first) * table_size);
      for (int64_t block = 0; block < signs.blocks(); block += kBlocks) {
        const int64_t block_end = std::min(signs.blocks(), block + kBlocks);
        for (int64_t m = first; m < last; ++m) {
          multiply_blocks(m, tables.data() + (m - first) * table_size, block, block_end);
        }
      }
    }
  });
  return y.narrow(1, 0, rows);
}

void ExpandInterleavedSigns::twin(const at::Tensor& out, const at::Tensor& words, int64_t rows,
                                  int64_t row_begin, const std::optional<at::Tensor>& row_scale,
                                  const std::optional<at::Tensor>& column_scale) {
  at::Tensor signs = plain_signs(words, rows, out.size(1), out.scalar_type());
  if (row_scale) signs = signs * row_scale->unsqueeze(1);
  if (column_scale) signs = signs * *column_scale;
  out.copy_(signs.narrow(0, row_begin, out.size(0)));
}

void ExpandInterleavedSigns::cpu(const at::Tensor& out, const at::Tensor& words, int64_t rows,
                                 int64_t row_begin, const std::optional<at::Tensor>& row_scale,
                                 const std::optional<at::Tensor>& column_scale) {
  const InterleavedSigns signs{word_data(words), rows, out.size(1)};
  switch (out.scalar_type()) {
    case at::kFloat:
      return expand_cpu<float, float>(signs, out, row_begin, row_scale, column_scale);
    case at::kDouble:
      return expand_cpu<double, double>(signs, out, row_begin, row_scale, column_scale);
    case at::kBFloat16:
      return expand_cpu<at::BFloat16, uint16_t>(signs, out, row_begin, row_scale, column_scale);
    default:
      LB_ASSERT(false, "dtype of the expansion");
  }
}

std::vector<OperationCase> MultiplyInterleavedSigns::cases() {
  std::vector<OperationCase> cases;
  const auto add = [&](int64_t m, int64_t rows, int64_t cols, bool scaled, bool timed) {
    cases.push_back({.operation = kName,
                     .shape = std::to_string(m) + " rows, " + std::to_string(rows) + " x " +
                              std::to_string(cols) + (scaled ? ", scaled" : ""),
                     .dtype = at::kFloat,
                     .tolerance = 1e-6,
                     .flops = 2.0 * static_cast<double>(m) * static_cast<double>(rows * cols),
                     .bytes = static_cast<double>(rows * cols) / 8,
                     .timed = timed,
                     .arguments = [=](at::Device device) {
                       return torch::jit::Stack{
                           made_interleaved(rows, cols).to(device), rows,
                           made_numbers("x", {m, cols}).to(device),
                           scaled ? c10::IValue(made_numbers("scale", {cols}).to(device))
                                  : c10::IValue()};
                     }});
  };
  for (const int64_t m : {1, 3, 9}) {
    for (const bool scaled : {false, true}) add(m, 70, 203, scaled, /*timed=*/false);
  }
  for (const int64_t m : {1, 8, 64}) add(m, 8192, 2048, /*scaled=*/true, /*timed=*/true);
  return cases;
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
