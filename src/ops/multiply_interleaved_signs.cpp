// y = (x * scale) S^T straight from sign bits, for the few rows of inference. Each row of x becomes
// tables of signed sums (kernels/sign_product.h), which all rows of S look up. With few rows of x
// threads share the blocks of S, with many the rows of x; either way a thread's tables stay in its
// cache while the bits stream past.
#include "littlebit/ops/multiply_interleaved_signs.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>

#include <algorithm>

#include "littlebit/kernels/sign_product.h"
#include "ops/interleaved.h"
#include "ops/made_numbers.h"
#include "ops/operation.h"

namespace littlebit {

at::Tensor multiply_interleaved_signs(const at::Tensor& words, int64_t rows, const at::Tensor& x,
                                      const at::Tensor& scale) {
  return dispatched<MultiplyInterleavedSigns>().call(words, rows, x, optional_tensor(scale));
}

at::Tensor MultiplyInterleavedSigns::twin(const at::Tensor& words, int64_t rows,
                                          const at::Tensor& x,
                                          const std::optional<at::Tensor>& scale) {
  const at::Tensor signs = plain_interleaved(words, rows, x.size(1), at::kFloat);
  return at::matmul(scale ? x * *scale : x, signs.t());
}

at::Tensor MultiplyInterleavedSigns::cpu(const at::Tensor& words, int64_t rows, const at::Tensor& x,
                                         const std::optional<at::Tensor>& scale) {
  const int64_t cols = x.size(1);
  const InterleavedSigns signs{interleaved_words(words), rows, cols};
  const at::Tensor from = x.contiguous();
  const int64_t table_size = sign_table_size(cols), count = from.size(0);
  // The kernel writes whole blocks of 16 rows; the surplus is cut off at the end, as a view.
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
  // Few rows of x, as when a token is generated: all tables are made first, and threads share the
  // rows of S. Every thread reads all tables, and its part of the bits once for each row of x.
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
  // Many rows of x: each thread takes rows of its own and goes through the whole of S for 8 of them
  // at a time. 4 blocks' bits are read from memory once and used by all 8.
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

}  // namespace littlebit
