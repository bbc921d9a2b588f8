// A matrix of signs as inference keeps it, and what is done with it. One layout serves every
// device: rows interleaved by 16 give a vector register of a CPU the same columns of 16 rows, and
// two such blocks the 32 lanes of a GPU's warp, from 128 bytes that lie side by side.
#include "littlebit/ops/packed_signs.h"

#include <ATen/ops/empty.h>

#include "littlebit/core/error.h"
#include "littlebit/kernels/sign_product.h"
#include "littlebit/ops/expand_interleaved_signs.h"
#include "littlebit/ops/sign_products.h"
#include "ops/operation.h"

namespace littlebit {
namespace {

uint32_t* word_data(const at::Tensor& words) {
  return reinterpret_cast<uint32_t*>(words.data_ptr<int32_t>());
}

}  // namespace

PackedSigns::PackedSigns(const at::Tensor& padded_words, int64_t cols, at::Device device)
    : rows_(padded_words.size(0)), cols_(cols) {
  const InterleavedSigns shape{nullptr, rows_, cols_};
  LB_ASSERT(padded_words.size(1) == shape.words_per_row(), "words of a row");
  const at::Tensor padded = padded_words.contiguous();
  const uint32_t* const from = word_data(padded);
  const at::Tensor words = at::empty({shape.num_words()}, at::kInt);
  interleave_signs(from, 0, shape.words_per_row() * 32, rows_, cols_, word_data(words));
  words_ = words.to(device);
}

// Measured on CPUs (docs/benchmarks.md): look-ups of 16 numbers at a time beat expansion and a
// matrix product for up to about 100 rows, narrower ones for a few. In bf16 more rows are computed
// as in training. Counted elsewhere: a GPU's tensor cores read each expanded weight from memory, 2
// bytes where there was a bit, which 16 rows of look-ups do not take longer for.
bool PackedSigns::multiplies(int64_t rows, at::ScalarType dtype) const {
  constexpr int64_t kMaxRowsOnCpu = 64, kMaxRowsElsewhere = 16;
  if (dtype == at::kDouble) return false;
  if (!words_.device().is_cpu()) return rows <= kMaxRowsElsewhere;
  if (rows <= kFewRows) return true;
  return dtype == at::kFloat && best_instructions() == Instructions::kAvx512 &&
         rows <= kMaxRowsOnCpu;
}

void PackedSigns::expand_into(const at::Tensor& out, int64_t row_begin, const at::Tensor& row_scale,
                              const at::Tensor& column_scale) const {
  LB_ASSERT(out.size(1) == cols_ && row_begin + out.size(0) <= rows_, "rows of the expansion");
  expand_interleaved_signs(out, words_, rows_, row_begin, row_scale, column_scale);
}

at::Tensor signed_sums(const at::Tensor& x, const std::vector<SignedSum>& sums) {
  std::vector<at::Tensor> words, in_scales, out_scales, biases;
  std::vector<int64_t> rows, cols, begins;
  for (const SignedSum& sum : sums) {
    LB_ASSERT(!sum.terms.empty() && sum.terms.size() <= SignSum<float>::kMaxTerms &&
                  sum.terms.size() == sums[0].terms.size(),
              "one or two terms, in each sum as many");
    rows.push_back(sum.terms[0].signs->rows());
    if (sum.bias.defined()) biases.push_back(sum.bias);
    for (const SignedSum::Term& term : sum.terms) {
      LB_ASSERT(term.signs->rows() == rows.back(), "rows of a sum's terms");
      LB_ASSERT(term.begin >= 0 && term.begin + term.signs->cols() <= x.size(1), "columns of x");
      words.push_back(term.signs->words());
      cols.push_back(term.signs->cols());
      begins.push_back(term.begin);
      if (term.in_scale.defined()) in_scales.push_back(term.in_scale);
      out_scales.push_back(term.out_scale);
    }
  }
  LB_ASSERT(in_scales.empty() || in_scales.size() == words.size(), "scales of all or none");
  LB_ASSERT(biases.empty() || biases.size() == sums.size(), "biases of all or none");
  return dispatched<SignProducts>().call(x, words, rows, cols, begins, in_scales, out_scales,
                                         biases);
}

}  // namespace littlebit
