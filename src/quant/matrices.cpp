#include "matrices.h"

#include <ATen/Context.h>
#include <ATen/core/List.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "littlebit/core/rng.h"

namespace littlebit {
namespace {

using LinearPointwise = at::Tensor(const at::Tensor&, const at::Tensor&,
                                   const std::optional<at::Tensor>&, std::string_view,
                                   c10::List<std::optional<at::Scalar>>,
                                   std::optional<std::string_view>);

// LibTorch's door to oneDNN's fp32 product; without a C++ header, hence by name. Empty where this
// LibTorch was built without oneDNN.
std::optional<c10::TypedOperatorHandle<LinearPointwise>> find_onednn_linear() {
  if (!at::globalContext().hasMKLDNN()) return std::nullopt;
  const auto found = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
  if (!found) return std::nullopt;
  return found->typed<LinearPointwise>();
}

// The product takes matrices by rows and by columns alike, others as a copy.
at::Tensor rows_or_columns(const at::Tensor& t) {
  return t.stride(0) == 1 || t.stride(1) == 1 ? t : t.contiguous();
}

}  // namespace

at::Tensor product_nt(const at::Tensor& a, const at::Tensor& b) {
  static const auto linear = find_onednn_linear();
  if (!linear || a.scalar_type() != at::kFloat || !a.is_cpu()) return at::matmul(a, b.t());
  return linear->call(rows_or_columns(a), rows_or_columns(b), std::nullopt, "none",
                      c10::List<std::optional<at::Scalar>>(), "");
}

at::Tensor gaussian(int64_t rows, int64_t cols, const at::Tensor& like, uint64_t seed,
                    const std::string& purpose) {
  at::Tensor out = at::empty({rows, cols}, at::TensorOptions().dtype(at::kFloat));
  RandomStream(seed, purpose)
      .fill_normal(0, {out.data_ptr<float>(), static_cast<size_t>(out.numel())});
  return out.to(like.options());
}

at::Tensor random_signs(int64_t rows, int64_t cols, const at::Tensor& like,
                        const RandomStream& random) {
  at::Tensor out = at::empty({rows, cols}, at::TensorOptions().dtype(at::kFloat));
  const int64_t count = out.numel();
  auto* numbers = out.data_ptr<float>();
  for (int64_t i = 0; i < count; i += 128) {
    const std::array<uint32_t, 4> words = random.block(static_cast<uint64_t>(i / 128));
    for (int64_t j = 0; j < std::min<int64_t>(128, count - i); ++j) {
      numbers[i + j] = (words[j / 32] >> (j % 32) & 1) != 0 ? -1.0f : 1.0f;
    }
  }
  return out.to(like.options());
}

}  // namespace littlebit
