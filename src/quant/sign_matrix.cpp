// Sign matrices on every device: kernels on CPU and GPU, plain ATen elsewhere. Bits of others that
// share a word with this matrix are never changed.
#include "littlebit/quant/sign_matrix.h"

#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/util/BFloat16.h>

#include <algorithm>
#include <atomic>
#include <type_traits>

#include "littlebit/core/error.h"
#include "littlebit/kernels/cuda.h"
#include "littlebit/kernels/signs.h"

namespace littlebit {
namespace {

constexpr int64_t kGrain = 1 << 16;  // elements worth a thread of their own

uint32_t* word_data(const at::Tensor& words) {
  return reinterpret_cast<uint32_t*>(words.data_ptr<int32_t>());
}

// Tensors on a GPU exist only where open_cuda() succeeded.
const CudaKernels& cuda_kernels() { return *open_cuda().kernels; }

void expand_on_gpu(const SignExpansion<float>& job) { cuda_kernels().expand_float(job); }
void expand_on_gpu(const SignExpansion<double>& job) { cuda_kernels().expand_double(job); }
void expand_on_gpu(const SignExpansion<uint16_t>& job) { cuda_kernels().expand_bfloat16(job); }

// T: what ATen calls the element, K: what the kernel does.
template <class T, class K>
void expand(const at::Tensor& words, int64_t first_bit, const at::Tensor& out,
            const at::Tensor& row_scale, const at::Tensor& column_scale) {
  const auto data = [](const at::Tensor& t) {
    return t.defined() ? reinterpret_cast<const K*>(t.const_data_ptr<T>()) : nullptr;
  };
  const SignExpansion<K> job{word_data(words),
                             first_bit,
                             out.size(0),
                             out.size(1),
                             data(row_scale),
                             data(column_scale),
                             reinterpret_cast<K*>(out.data_ptr<T>()),
                             out.stride(0)};
  if (out.is_cuda()) return expand_on_gpu(job);
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, job.cols));
  at::parallel_for(0, job.rows, grain,
                   [&](int64_t begin, int64_t end) { expand_signs(job, begin, end); });
}

// The words that hold `count` bits; a copy where they are not on the CPU.
at::Tensor words_of(const at::Tensor& words, int64_t first_bit, int64_t count) {
  const int64_t first = first_bit / 32, end = (first_bit + count + 31) / 32;
  return words.narrow(0, first, end - first).cpu();
}

// By plain ATen operations, on any device.
void update_signs_anywhere(const at::Tensor& latents, const at::Tensor& words,
                           const at::Tensor& flips) {
  const at::Tensor place = at::arange(32, words.options().dtype(at::kInt));
  const at::Tensor fresh =
      latents.lt(0).view({-1, 32}).to(at::kInt).bitwise_left_shift(place).sum(1).to(at::kInt);
  const at::Tensor changed =
      fresh.bitwise_xor(words).unsqueeze(1).bitwise_right_shift(place).bitwise_and(1);
  words.copy_(fresh);
  flips.add_(changed.sum());
}

}  // namespace

SignMatrix::SignMatrix(at::Tensor words, int64_t first_bit, int64_t rows, int64_t cols)
    : words_(std::move(words)), first_bit_(first_bit), rows_(rows), cols_(cols) {}

void SignMatrix::expand_into(const at::Tensor& out, const at::Tensor& row_scale,
                             const at::Tensor& column_scale) const {
  LB_ASSERT(out.size(0) == rows_ && out.size(1) == cols_, "shape of the expansion");
  LB_ASSERT(!(row_scale.defined() && column_scale.defined()), "one scale at most");
  if (!out.is_cpu() && !out.is_cuda()) {
    at::Tensor signs = expand_reference(words_, first_bit_, rows_, cols_, out.scalar_type());
    if (row_scale.defined()) signs.mul_(row_scale.unsqueeze(1));
    if (column_scale.defined()) signs.mul_(column_scale);
    out.copy_(signs);
    return;
  }
  LB_ASSERT(out.stride(1) == 1, "rows of the expansion are contiguous");
  const at::Tensor rows = row_scale.defined() ? row_scale.contiguous() : row_scale;
  const at::Tensor columns = column_scale.defined() ? column_scale.contiguous() : column_scale;
  switch (out.scalar_type()) {
    case at::kFloat:
      return expand<float, float>(words_, first_bit_, out, rows, columns);
    case at::kDouble:
      return expand<double, double>(words_, first_bit_, out, rows, columns);
    case at::kBFloat16:
      return expand<at::BFloat16, uint16_t>(words_, first_bit_, out, rows, columns);
    default:
      LB_ASSERT(false, "dtype of the expansion");
  }
}

at::Tensor SignMatrix::padded_words() const {
  const int64_t per_row = (cols_ + 31) / 32;
  const at::Tensor from = words_of(words_, first_bit_, rows_ * cols_);
  at::Tensor padded = at::zeros({rows_, per_row}, at::TensorOptions().dtype(at::kInt));
  copy_bit_rows(word_data(from), first_bit_ % 32, cols_, word_data(padded), 0, per_row * 32, rows_,
                cols_);
  return padded;
}

void SignMatrix::set_from_padded_words(const at::Tensor& padded) {
  const int64_t per_row = (cols_ + 31) / 32;
  LB_ASSERT(padded.size(0) == rows_ && padded.size(1) == per_row, "shape of packed words");
  const at::Tensor from = padded.cpu().contiguous();
  const at::Tensor to = words_of(words_, first_bit_, rows_ * cols_);
  copy_bit_rows(word_data(from), 0, per_row * 32, word_data(to), first_bit_ % 32, cols_, rows_,
                cols_);
  if (!words_.is_cpu()) words_.narrow(0, first_bit_ / 32, to.numel()).copy_(to);
}

void update_signs(const at::Tensor& latents, const at::Tensor& words, const at::Tensor& flips) {
  LB_ASSERT(latents.is_contiguous() && latents.numel() == words.numel() * 32, "32 latents a word");
  if (!flips.defined()) {
    update_signs(latents, words, at::zeros({1}, words.options().dtype(at::kLong)));
    return;
  }
  if (latents.is_cuda()) {
    int64_t* count = flips.data_ptr<int64_t>();
    if (latents.scalar_type() == at::kDouble) {
      cuda_kernels().pack_double(latents.const_data_ptr<double>(), latents.numel(),
                                 word_data(words), count);
    } else {
      cuda_kernels().pack_float(latents.const_data_ptr<float>(), latents.numel(), word_data(words),
                                count);
    }
    return;
  }
  if (!latents.is_cpu()) return update_signs_anywhere(latents, words, flips);
  std::atomic<int64_t> changed = 0;
  const auto pack = [&](const auto* data) {
    at::parallel_for(0, words.numel(), kGrain / 32, [&](int64_t begin, int64_t end) {
      changed += pack_signs(data + begin * 32, (end - begin) * 32, word_data(words) + begin);
    });
  };
  if (latents.scalar_type() == at::kDouble) {
    pack(latents.const_data_ptr<double>());
  } else {
    pack(latents.const_data_ptr<float>());
  }
  *flips.data_ptr<int64_t>() += changed;
}

at::Tensor expand_reference(const at::Tensor& words, int64_t first_bit, int64_t rows, int64_t cols,
                            at::ScalarType dtype) {
  const at::Tensor index =
      at::arange(first_bit, first_bit + rows * cols, words.options().dtype(at::kLong));
  const at::Tensor bits = words.index_select(0, index.bitwise_right_shift(5))
                              .bitwise_right_shift(index.bitwise_and(31).to(at::kInt))
                              .bitwise_and(1);
  return bits.mul(-2).add(1).to(dtype).view({rows, cols});
}

}  // namespace littlebit
