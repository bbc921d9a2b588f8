// oneDNN's fp32 product and its derivatives, which are products of the same kind: dx = dy W and
// dW = dy^T x. LibTorch has no C++ header for the product, hence it is called by name.
#include "littlebit/ops/product.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/List.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "littlebit/kernels/row_layouts.h"
#include "littlebit/ops/bf16_product.h"
#include "ops/made_numbers.h"
#include "ops/operation.h"
#include "ops/split_product.h"

namespace littlebit {
namespace {

using LinearPointwise = at::Tensor(const at::Tensor&, const at::Tensor&,
                                   const std::optional<at::Tensor>&, std::string_view,
                                   c10::List<std::optional<at::Scalar>>,
                                   std::optional<std::string_view>);

// Empty where this LibTorch was built without oneDNN. It is the operation behind LibTorch's own
// compiled models, called here with nothing fused to the product.
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

// oneDNN's product takes its second factor by rows and by columns alike, others as a copy.
at::Tensor rows_or_columns(const at::Tensor& t) {
  return t.stride(0) == 1 || t.stride(1) == 1 ? t : t.contiguous();
}

// The first one it takes by rows alone. By columns lies what gradients of weights are made of: ATen
// copies that with one line of each cache's set for many rows, which takes 7 % of a step.
at::Tensor by_rows(const at::Tensor& t) {
  if (t.stride(1) == 1 || t.stride(0) != 1) return t.contiguous();
  constexpr int64_t kColumns = 256, kRows = 16, kStride = kColumns + 16;
  const int64_t rows = t.size(0), columns = t.size(1), stride = t.stride(1);
  const at::Tensor copy = at::empty(t.sizes(), t.options());
  const float* from = t.const_data_ptr<float>();
  auto* to = copy.mutable_data_ptr<float>();
  at::parallel_for(0, (rows + kRows - 1) / kRows, 4, [&](int64_t begin, int64_t end) {
    // Transposed by pieces of 16 x 256: 16 numbers are one line of the cache, which is then read
    // once and written once.
    alignas(64) float piece[kRows * kStride];
    for (int64_t row = begin * kRows; row < std::min(rows, end * kRows); row += kRows) {
      const int64_t height = std::min(kRows, rows - row);
      for (int64_t column = 0; column < columns; column += kColumns) {
        const int64_t width = std::min(kColumns, columns - column);
        transpose_rows({from + column * stride + row, stride, width, height},
                       {piece, kStride, height, width});
        copy_rows({piece, kStride, height, width},
                  {to + row * columns + column, columns, height, width});
      }
    }
  });
  return copy;
}

// Only the derivatives that are asked for are computed: frozen weights cost none.
class RecordedProduct : public torch::autograd::Function<RecordedProduct> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& a,
                            const at::Tensor& b) {
    context->save_for_backward({a, b});
    const at::AutoDispatchBelowADInplaceOrView below;
    return MatrixProduct::cpu(a, b);
  }

  // By the operation itself, so that this can be recorded, too.
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& dy) {
    const auto saved = context->get_saved_variables();
    torch::autograd::variable_list gradients(2);
    if (context->needs_input_grad(0)) gradients[0] = matmul_nt(dy[0], saved[1].t());
    if (context->needs_input_grad(1)) {
      gradients[1] = matmul_nt(dy[0].t(), saved[0].t()).to(saved[1].scalar_type());
    }
    return gradients;
  }
};

int64_t rows_of_piece(int64_t k) {
  constexpr int64_t kPiece = 1 << 22;  // numbers
  return std::max<int64_t>(1, kPiece / k);
}

bool is_mixed(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == at::kFloat && b.scalar_type() == at::kBFloat16;
}

}  // namespace

bool has_fast_mixed_products(at::Device device) { return device.is_cpu() && has_split_products(); }

at::Tensor matmul_nt(const at::Tensor& a, const at::Tensor& b) {
  return dispatched<MatrixProduct>().call(a, b);
}

at::Tensor chunked_matmul(const at::Tensor& x, int64_t n,
                          const std::function<at::Tensor(int64_t begin, int64_t count)>& piece) {
  const int64_t rows = rows_of_piece(x.size(1));
  // One piece needs no result to be put together.
  if (n <= rows) return matmul_nt(x, piece(0, n));
  const at::Tensor y = at::empty({x.size(0), n}, x.options());
  for (int64_t begin = 0; begin < n; begin += rows) {
    const int64_t count = std::min(rows, n - begin);
    y.narrow(1, begin, count).copy_(matmul_nt(x, piece(begin, count)));
  }
  return y;
}

int64_t chunked_matmul_numbers(int64_t m, int64_t n, int64_t k) {
  const int64_t rows = std::min(n, rows_of_piece(k));
  return rows * k + (rows < n ? m * rows : 0);
}

at::Tensor MatrixProduct::twin(const at::Tensor& a, const at::Tensor& b) {
  return at::matmul(a, (is_mixed(a, b) ? b.to(a.scalar_type()) : b).t());
}

// oneDNN's product is not used for empty matrices; mixed products have a form of their own on every
// CPU.
bool MatrixProduct::is_faster(const at::Tensor& a, const at::Tensor& b) {
  if (is_mixed(a, b)) return a.is_cpu();
  return a.is_cpu() && a.scalar_type() == at::kFloat && b.scalar_type() == at::kFloat &&
         a.numel() > 0 && b.numel() > 0 && onednn_linear();
}

at::Tensor MatrixProduct::cpu(const at::Tensor& a, const at::Tensor& b) {
  if (!is_faster(a, b)) return twin(a, b);
  if (is_mixed(a, b)) return bf16_product(a, b);
  return onednn_linear()->call(by_rows(a), rows_or_columns(b), std::nullopt, "none",
                               c10::List<std::optional<at::Scalar>>(), "");
}

at::Tensor MatrixProduct::autograd_cpu(const at::Tensor& a, const at::Tensor& b) {
  if (!is_faster(a, b)) return twin(a, b);
  if (records(a, b)) return RecordedProduct::apply(a, b);
  const at::AutoDispatchBelowADInplaceOrView below;
  return cpu(a, b);
}

std::vector<OperationCase> MatrixProduct::cases() {
  std::vector<OperationCase> cases;
  const auto add = [&](int64_t m, int64_t n, int64_t k, at::ScalarType dtype, bool by_columns,
                       bool timed) {
    const auto elements = static_cast<double>(m * k + n * k + m * n);
    cases.push_back({.operation = kName,
                     .shape = std::to_string(m) + " x " + std::to_string(n) + " x " +
                              std::to_string(k) + (by_columns ? ", by columns" : ""),
                     .dtype = dtype,
                     .tolerance = dtype == at::kDouble  ? 1e-14
                                  : dtype == at::kFloat ? 1e-6
                                                        : 8e-3,
                     .flops = 2.0 * static_cast<double>(m) * static_cast<double>(n * k),
                     .bytes = elements * static_cast<double>(c10::elementSize(dtype)),
                     .timed = timed,
                     .arguments = [=](at::Device device) {
                       const at::Tensor b = made_numbers("b", {n, k}).to(device, dtype);
                       const at::Tensor a = made_numbers("a", {m, k}).to(device, dtype);
                       const auto laid = [&](const at::Tensor& x) {
                         return by_columns ? x.t().contiguous().t() : x;
                       };
                       return torch::jit::Stack{laid(a), laid(b)};
                     }});
  };
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
    add(37, 65, 130, dtype, /*by_columns=*/false, /*timed=*/false);
    add(37, 65, 130, dtype, /*by_columns=*/true, /*timed=*/false);
    add(1, 3, 1, dtype, /*by_columns=*/false, /*timed=*/false);
    add(1, 3, 5, dtype, /*by_columns=*/true, /*timed=*/false);
    add(97, 8, 301, dtype, /*by_columns=*/true, /*timed=*/false);
    if (dtype != at::kDouble) add(2048, 4096, 512, dtype, /*by_columns=*/false, /*timed=*/true);
  }
  return cases;
}

}  // namespace littlebit
