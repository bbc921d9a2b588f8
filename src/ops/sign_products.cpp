// Products straight from sign bits, for the few rows of inference. On the CPU each row of x becomes
// tables of signed sums (kernels/sign_product.h), which all rows of S look up. With few rows of x
// threads share the blocks of S, with many the rows of x; either way a thread's tables stay in its
// cache while the bits stream past.
#include "littlebit/ops/sign_products.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>

#include <algorithm>
#include <numeric>

#include "ops/interleaved.h"
#include "ops/made_numbers.h"
#include "ops/operation.h"

namespace littlebit {
namespace {

// What a form makes of the arguments: product(i, x) is x S_i^T [M, rows], and its own to change.
template <class Product>
at::Tensor sums_of(const at::Tensor& x, at::IntArrayRef rows, at::IntArrayRef cols,
                   at::IntArrayRef begins, at::TensorList out_scales, at::TensorList biases,
                   const Product& product) {
  const int64_t columns = std::accumulate(rows.begin(), rows.end(), int64_t{0});
  const at::Tensor y = x.new_empty({x.size(0), columns});
  const size_t terms = cols.size() / std::max<size_t>(1, rows.size());
  int64_t column = 0;
  for (size_t s = 0; s < rows.size(); ++s) {
    at::Tensor sum;
    for (size_t i = s * terms; i < (s + 1) * terms; ++i) {
      const at::Tensor of_term = x.narrow(1, begins[i], cols[i]).to(accumulate_type(x));
      const at::Tensor term = product(i, rows[s], of_term).mul_(out_scales[i]);
      sum = sum.defined() ? sum.add_(term) : term;
    }
    if (!biases.empty()) sum.add_(biases[s]);
    y.narrow(1, column, rows[s]).copy_(sum);
    column += rows[s];
  }
  return y;
}

// x [M, cols] fp32 -> (x * scale) S^T, fp32 [M, rows] (rows with gaps between them). scale [cols]
// or null.
at::Tensor multiply(const at::Tensor& words, int64_t rows, const at::Tensor& x,
                    const at::Tensor* scale) {
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
    at::parallel_for(0, signs.blocks(), std::max(kBlocks, kGrain / std::max<int64_t>(1, of_block)),
                     [&](int64_t begin, int64_t end) {
                       for (int64_t m = 0; m < count; ++m) {
                         multiply_blocks(m, first + m * table_size, begin, end);
                       }
                     });
    return y.narrow(1, 0, rows);
  }
  // Many rows of x: each thread takes rows of its own and goes through the whole of S for 8 of them
  // at a time. 4 blocks' bits are read from memory once and used by all 8.
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, rows * cols));
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

}  // namespace

at::Tensor SignProducts::twin(const at::Tensor& x, at::TensorList words, at::IntArrayRef rows,
                              at::IntArrayRef cols, at::IntArrayRef begins,
                              at::TensorList in_scales, at::TensorList out_scales,
                              at::TensorList biases) {
  return sums_of(x, rows, cols, begins, out_scales, biases,
                 [&](size_t i, int64_t count, const at::Tensor& from) {
                   const at::Tensor signs =
                       plain_interleaved(words[i], count, cols[i], from.scalar_type());
                   return at::matmul(in_scales.empty() ? from : from * in_scales[i], signs.t());
                 });
}

at::Tensor SignProducts::cpu(const at::Tensor& x, at::TensorList words, at::IntArrayRef rows,
                             at::IntArrayRef cols, at::IntArrayRef begins, at::TensorList in_scales,
                             at::TensorList out_scales, at::TensorList biases) {
  if (!has_kernel(x, words, rows, cols, begins, in_scales, out_scales, biases)) {
    return twin(x, words, rows, cols, begins, in_scales, out_scales, biases);
  }
  return sums_of(x, rows, cols, begins, out_scales, biases,
                 [&](size_t i, int64_t count, const at::Tensor& from) {
                   return multiply(words[i], count, from,
                                   in_scales.empty() ? nullptr : &in_scales[i]);
                 });
}

namespace {

struct Shape {
  int64_t rows, cols;
};

// As to_latent and from_latent of layers that read the same x.
struct Products {
  std::vector<Shape> matrices;
  int64_t terms;
  bool side_by_side, scaled, biased;  // x_i; in_scales; biases
};

torch::jit::Stack made_products(const Products& products, int64_t m, at::ScalarType dtype,
                                at::Device device) {
  const at::ScalarType wide = dtype == at::kDouble ? at::kDouble : at::kFloat;
  const auto numbers = [&](const std::string& name, int64_t count) {
    return made_numbers(name, {count}).to(device, wide);
  };
  c10::List<at::Tensor> words, in_scales, out_scales, biases;
  std::vector<int64_t> rows, cols, begins;
  int64_t columns = 0;
  for (size_t i = 0; i < products.matrices.size(); ++i) {
    const Shape& shape = products.matrices[i];
    const std::string number = std::to_string(i);
    words.push_back(made_interleaved(shape.rows, shape.cols).to(device));
    cols.push_back(shape.cols);
    begins.push_back(products.side_by_side ? columns : 0);
    columns = products.side_by_side ? columns + shape.cols : std::max(columns, shape.cols);
    if (products.scaled) in_scales.push_back(numbers("in " + number, shape.cols));
    out_scales.push_back(numbers("out " + number, shape.rows));
    if (static_cast<int64_t>(i) % products.terms != 0) continue;
    rows.push_back(shape.rows);
    if (products.biased) biases.push_back(numbers("bias " + number, shape.rows));
  }
  // Rows with gaps between them, as a part of something wider has.
  const at::Tensor x = made_numbers("x", {m, columns + 3}).to(device, dtype).narrow(1, 2, columns);
  return {x, words, rows, cols, begins, in_scales, out_scales, biases};
}

}  // namespace

std::vector<OperationCase> SignProducts::cases() {
  std::vector<OperationCase> cases;
  const auto add = [&](const std::string& shape, const Products& products, int64_t m,
                       at::ScalarType dtype, bool timed) {
    double signs = 0;
    for (const Shape& each : products.matrices) {
      signs += static_cast<double>(each.rows * each.cols);
    }
    cases.push_back({.operation = kName,
                     .shape = std::to_string(m) + " rows, " + shape,
                     .dtype = dtype,
                     // A rounding to bf16 may fall on the other side.
                     .tolerance = dtype == at::kBFloat16 ? 2e-3
                                  : dtype == at::kFloat  ? 1e-6
                                                         : 0,
                     .flops = 2.0 * static_cast<double>(m) * signs,
                     .bytes = signs / 8,
                     .timed = timed,
                     .arguments = [=](at::Device device) {
                       return made_products(products, m, dtype, device);
                     }});
  };
  const Products odd{{{70, 203}}, 1, false, true, false},
      rank_8{{{8, 203}, {8, 203}}, 1, false, true, false},
      unlike{{{70, 203}, {70, 203}, {33, 40}, {1, 31}, {129, 1}}, 1, false, true, false},
      two_terms{{{70, 41}, {70, 41}}, 2, true, false, true},
      of_latents{{{33, 8}, {33, 8}, {5, 600}, {5, 600}}, 2, true, false, false},
      long_rows{{{17, 2100}}, 1, false, true, true}, nothing{{{0, 40}}, 1, false, true, true},
      many{std::vector<Shape>(50, Shape{3, 5}), 2, true, true, true};
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kDouble}) {
    for (const int64_t m : {1, 3, 9, 16}) {
      add("70 x 203, scaled", odd, m, dtype, /*timed=*/false);
      add("two terms of 70 x 41", two_terms, m, dtype, /*timed=*/false);
    }
    add("two of rank 8", rank_8, 1, dtype, /*timed=*/false);
    add("5 unlike ones", unlike, 4, dtype, /*timed=*/false);
    add("two terms of 33 x 8 and 5 x 600", of_latents, 2, dtype, /*timed=*/false);
    add("17 x 2100", long_rows, 1, dtype, /*timed=*/false);
    add("17 x 2100", long_rows, 5, dtype, /*timed=*/false);
    add("25 sums of two", many, 2, dtype, /*timed=*/false);
    add("no rows of signs", nothing, 3, dtype, /*timed=*/false);
    add("70 x 203, scaled", odd, 0, dtype, /*timed=*/false);
  }
  const Products large{{{8192, 2048}}, 1, false, true, false};
  for (const int64_t m : {1, 8, 64}) {
    add("8192 x 2048, scaled", large, m, at::kFloat, /*timed=*/true);
  }
  // q, k and v of Llama 2 7B at 0.55 bit, both paths: their first factors, and their second.
  const Products first{std::vector<Shape>(6, Shape{552, 4096}), 1, false, true, false},
      second{std::vector<Shape>(6, Shape{4096, 552}), 2, true, false, false};
  for (const int64_t m : {1, 16}) {
    add("6 of 552 x 4096", first, m, at::kBFloat16, /*timed=*/true);
    add("3 sums of two 4096 x 552", second, m, at::kBFloat16, /*timed=*/true);
  }
  return cases;
}

}  // namespace littlebit
