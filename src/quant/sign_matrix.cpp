// Sign matrices and their bits between layouts. Bits of others that share a word with this matrix
// are never changed.
#include "littlebit/quant/sign_matrix.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include "littlebit/core/error.h"
#include "littlebit/kernels/signs.h"
#include "littlebit/ops/expand_signs.h"

namespace littlebit {
namespace {

uint32_t* word_data(const at::Tensor& words) {
  return reinterpret_cast<uint32_t*>(words.data_ptr<int32_t>());
}

// The words that hold `count` bits.
at::Tensor words_of(const at::Tensor& words, int64_t first_bit, int64_t count) {
  const int64_t first = first_bit / 32, end = (first_bit + count + 31) / 32;
  return words.narrow(0, first, end - first);
}

}  // namespace

SignMatrix::SignMatrix(at::Tensor words, int64_t first_bit, int64_t rows, int64_t cols)
    : words_(std::move(words)), first_bit_(first_bit), rows_(rows), cols_(cols) {}

void SignMatrix::expand_into(const at::Tensor& out, const at::Tensor& row_scale,
                             const at::Tensor& column_scale) const {
  LB_ASSERT(out.size(0) == rows_ && out.size(1) == cols_, "shape of the expansion");
  expand_sign_matrix(out, words_, first_bit_, row_scale, column_scale);
}

at::Tensor SignMatrix::padded_words() const {
  const int64_t per_row = (cols_ + 31) / 32;
  // Only the words of this matrix come from the device.
  const at::Tensor from = words_of(words_, first_bit_, rows_ * cols_).cpu();
  at::Tensor padded = at::zeros({rows_, per_row}, at::TensorOptions().dtype(at::kInt));
  copy_bit_rows(word_data(from), first_bit_ % 32, cols_, word_data(padded), 0, per_row * 32, rows_,
                cols_);
  return padded;
}

void SignMatrix::set_from_padded_words(const at::Tensor& padded) {
  const int64_t per_row = (cols_ + 31) / 32;
  LB_ASSERT(padded.size(0) == rows_ && padded.size(1) == per_row, "shape of packed words");
  const at::Tensor from = padded.cpu().contiguous();
  const at::Tensor stored = words_of(words_, first_bit_, rows_ * cols_);
  const at::Tensor to = stored.cpu();  // itself, where it is there
  copy_bit_rows(word_data(from), 0, per_row * 32, word_data(to), first_bit_ % 32, cols_, rows_,
                cols_);
  if (!to.is_alias_of(stored)) stored.copy_(to);
}

void SignExpansionList::add(const SignMatrix& matrix, const at::Tensor& out, ScaledSide side,
                            const at::Tensor& scale) {
  LB_ASSERT(
      out.size(0) == matrix.rows() && out.size(1) == matrix.cols() && out.scalar_type() == dtype_,
      "shape and type of the expansion");
  matrices_.push_back(matrix);
  outs_.push_back(out);
  sides_.push_back(side);
  scales_.push_back(scale);
}

void SignExpansionList::run() {
  if (outs_.empty()) return;
  const c10::AutoGradMode no_grad(false);  // a target may be part of what requires gradients by now
  const at::Tensor scales = at::cat(scales_).to(dtype_);
  int64_t scale_begin = 0;
  // A run of matrices of one buffer of bits is one call; a group has one buffer, so that is the
  // whole list.
  for (size_t begin = 0, end = 0; begin < outs_.size(); begin = end) {
    const at::Tensor& words = matrices_[begin].words();
    std::vector<int64_t> first_bits, scale_begins;
    for (; end < outs_.size() && matrices_[end].words().is_same(words); ++end) {
      first_bits.push_back(matrices_[end].first_bit());
      scale_begins.push_back(scale_begin);
      scale_begin += scales_[end].numel();
    }
    expand_sign_matrices(at::TensorList(outs_).slice(begin, end - begin), words, scales, first_bits,
                         scale_begins, {sides_.begin() + begin, sides_.begin() + end});
  }
  *this = SignExpansionList(dtype_);
}

}  // namespace littlebit
