// oneDNN's fp32 product and its derivatives, which are products of the same kind: dx = dy W and
// dW = dy^T x. LibTorch has no C++ header for the product, hence it is called by name.
#include "littlebit/nn/products.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/List.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>
#include <string_view>

namespace littlebit {
namespace {

using LinearPointwise = at::Tensor(const at::Tensor&, const at::Tensor&,
                                   const std::optional<at::Tensor>&, std::string_view,
                                   c10::List<std::optional<at::Scalar>>,
                                   std::optional<std::string_view>);

// Empty where this LibTorch was built without oneDNN.
std::optional<c10::TypedOperatorHandle<LinearPointwise>> find_onednn_linear() {
  if (!at::globalContext().hasMKLDNN()) return std::nullopt;
  const auto found = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
  if (!found) return std::nullopt;
  return found->typed<LinearPointwise>();
}

const auto& onednn_linear() {
  static const auto linear = find_onednn_linear();
  return linear;
}

bool takes_onednn(const at::Tensor& a, const at::Tensor& b) {
  return a.is_cpu() && a.scalar_type() == at::kFloat && b.scalar_type() == at::kFloat &&
         a.numel() > 0 && b.numel() > 0 && onednn_linear();
}

// The product takes matrices by rows and by columns alike, others as a copy.
at::Tensor rows_or_columns(const at::Tensor& t) {
  return t.stride(0) == 1 || t.stride(1) == 1 ? t : t.contiguous();
}

at::Tensor rows_of(const at::Tensor& t) { return t.reshape({-1, t.size(-1)}); }

class Product : public torch::autograd::Function<Product> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& weight) {
    context->save_for_backward({x, weight});
    return product_nt(x, weight);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& dy) {
    const auto saved = context->get_saved_variables();
    torch::autograd::variable_list gradients(2);
    if (context->needs_input_grad(0)) gradients[0] = product_nt(dy[0], saved[1].t());
    if (context->needs_input_grad(1)) gradients[1] = product_nt(dy[0].t(), saved[0].t());
    return gradients;
  }
};

}  // namespace

at::Tensor product_nt(const at::Tensor& a, const at::Tensor& b) {
  if (!takes_onednn(a, b)) return at::matmul(a, b.t());
  return onednn_linear()->call(rows_or_columns(a), rows_or_columns(b), std::nullopt, "none",
                               c10::List<std::optional<at::Scalar>>(), "");
}

at::Tensor product_by_pieces(const at::Tensor& x, int64_t n,
                             const std::function<at::Tensor(int64_t begin, int64_t count)>& piece) {
  constexpr int64_t kPiece = 1 << 22;  // numbers
  const int64_t rows = std::max<int64_t>(1, kPiece / x.size(1));
  if (n <= rows) return product_nt(x, piece(0, n));
  const at::Tensor y = at::empty({x.size(0), n}, x.options());
  for (int64_t begin = 0; begin < n; begin += rows) {
    const int64_t count = std::min(rows, n - begin);
    y.narrow(1, begin, count).copy_(product_nt(x, piece(begin, count)));
  }
  return y;
}

at::Tensor affine(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  if (!takes_onednn(x, weight)) return at::linear(x, weight, bias);
  const at::Tensor rows = rows_of(x);
  const bool recorded =
      c10::GradMode::is_enabled() &&
      (x.requires_grad() || weight.requires_grad() || (bias.defined() && bias.requires_grad()));
  at::Tensor y = recorded ? Product::apply(rows, weight) : product_nt(rows, weight);
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = weight.size(0);
  y = y.view(shape);
  if (!bias.defined()) return y;
  return recorded ? y + bias : y.add_(bias);
}

}  // namespace littlebit
