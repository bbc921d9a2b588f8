// The two layouts of a matrix of signs, and what each can do. Interleaved bits can be multiplied
// without being expanded, which pays on CPUs, where expansion is memory traffic; a GPU expands rows
// and multiplies densely. The layout is chosen once, when a packed folder is loaded.
#include "littlebit/ops/packed_signs.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "littlebit/core/error.h"
#include "littlebit/kernels/sign_product.h"
#include "littlebit/kernels/signs.h"
#include "littlebit/ops/expand_interleaved_signs.h"
#include "littlebit/ops/expand_signs.h"
#include "littlebit/ops/multiply_interleaved_signs.h"

namespace littlebit {
namespace {

uint32_t* word_data(const at::Tensor& words) {
  return reinterpret_cast<uint32_t*>(words.data_ptr<int32_t>());
}

}  // namespace

PackedSigns::PackedSigns(const at::Tensor& padded_words, int64_t cols, at::Device device)
    : rows_(padded_words.size(0)), cols_(cols), interleaved_(device.is_cpu()) {
  const InterleavedSigns shape{nullptr, rows_, cols_};
  LB_ASSERT(padded_words.size(1) == shape.words_per_row(), "words of a row");
  const at::Tensor padded = padded_words.contiguous();
  const uint32_t* const from = word_data(padded);
  if (!interleaved_) {
    const at::Tensor words = at::zeros({(rows_ * cols_ + 31) / 32}, at::kInt);
    copy_bit_rows(from, 0, shape.words_per_row() * 32, word_data(words), 0, cols_, rows_, cols_);
    words_ = words.to(device);
    return;
  }
  words_ = at::empty({shape.num_words()}, at::kInt);
  interleave_signs(from, 0, shape.words_per_row() * 32, rows_, cols_, word_data(words_));
}

// Measured (docs/benchmarks.md): look-ups of 16 numbers at a time beat expansion and a matrix
// product for up to about 100 rows, narrower ones for a few. In bf16 more rows are computed as in
// training.
bool PackedSigns::multiplies(int64_t rows, at::ScalarType dtype) const {
  constexpr int64_t kMaxRows = 64;
  if (!interleaved_ || dtype == at::kDouble) return false;
  if (rows <= kFewRows) return true;
  return dtype == at::kFloat && best_instructions() == Instructions::kAvx512 && rows <= kMaxRows;
}

at::Tensor PackedSigns::multiply(const at::Tensor& x, const at::Tensor& scale) const {
  return multiply_interleaved_signs(words_, rows_, x, scale);
}

void PackedSigns::expand_into(const at::Tensor& out, int64_t row_begin, const at::Tensor& row_scale,
                              const at::Tensor& column_scale) const {
  LB_ASSERT(out.size(1) == cols_ && row_begin + out.size(0) <= rows_, "rows of the expansion");
  if (interleaved_) {
    return expand_interleaved_signs(out, words_, rows_, row_begin, row_scale, column_scale);
  }
  expand_sign_matrix(out, words_, row_begin * cols_,
                     row_scale.defined() ? row_scale.narrow(0, row_begin, out.size(0)) : row_scale,
                     column_scale);
}

}  // namespace littlebit
