// Forward and backward through both factors as one step of autograd: in between lie the activations
// of R columns alone, and nothing of the matrices W1 and W2 but their gradients.
#include "sign_factors.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "littlebit/ops/product.h"
#include "littlebit/ops/scaled_product.h"

namespace littlebit {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Columns, or rows, of path p.
at::Tensor part(const at::Tensor& of_all, int64_t dimension, size_t p, size_t paths) {
  const int64_t rank = of_all.size(dimension) / static_cast<int64_t>(paths);
  return of_all.narrow(dimension, static_cast<int64_t>(p) * rank, rank);
}

// [m, d_in] -> [m, R]: x W1^T.
at::Tensor to_latent(const at::Tensor& x, const SignFactors& factors) {
  const size_t paths = factors.g.size();
  at::Tensor t = at::empty({x.size(0), factors.V.size(0)}, x.options());
  for (size_t p = 0; p < paths; ++p) {
    scaled_product(part(t, 1, p, paths),
                   {.x = x, .b = part(factors.V, 0, p, paths), .in_scale = factors.g[p]});
  }
  return t;
}

// [m, R] -> [m, d_out]: t W2^T.
at::Tensor from_latent(const at::Tensor& t, const SignFactors& factors) {
  const size_t paths = factors.h.size();
  at::Tensor y = at::empty({t.size(0), factors.U.size(0)}, t.options());
  for (size_t p = 0; p < paths; ++p) {
    scaled_product(y, {.x = part(t, 1, p, paths),
                       .b = part(factors.U, 1, p, paths),
                       .out_scale = factors.h[p],
                       .adds = p > 0});
  }
  return y;
}

class RecordedSignProduct : public torch::autograd::Function<RecordedSignProduct> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& /*w1*/,
                            const at::Tensor& /*w2*/, const at::Tensor& l,
                            const SignFactors& factors) {
    const at::AutoDispatchBelowADInplaceOrView below;
    const at::Tensor t = to_latent(x, factors);
    // t * l is not among them: it is one multiplication per number, made again where dW2 needs it.
    variable_list saved = {x, t, l, factors.V, factors.U};
    saved.insert(saved.end(), factors.g.begin(), factors.g.end());
    saved.insert(saved.end(), factors.h.begin(), factors.h.end());
    context->save_for_backward(saved);
    return from_latent(t * l, factors);
  }

  static variable_list backward(AutogradContext* context, const variable_list& given) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &t = saved[1], &l = saved[2], &V = saved[3], &U = saved[4];
    const at::Tensor dy = given[0].contiguous();
    const size_t paths = (saved.size() - 5) / 2;
    // With t = x W1^T and y = (t * L) W2^T:
    //
    //     d(t * L) = dy W2    dW2 = dy^T (t * L)    dL = sum over rows of d(t * L) * t
    //     dt = d(t * L) * L   dW1 = dt^T x          dx = dt W1
    //
    // W2 = diag(h) U scales dy before the product, W1 = V diag(g) scales dx after it. The gradients
    // by W1 and W2 are whole matrices: optim/gradients.cpp makes those of signs and scales from
    // them.
    const c10::AutoGradMode without(false);
    // Of t * l, first: dy W2.
    at::Tensor dt = at::empty_like(t);
    for (size_t p = 0; p < paths; ++p) {
      scaled_product(part(dt, 1, p, paths),
                     {.x = dy, .b = part(U, 1, p, paths).t(), .in_scale = saved[5 + paths + p]});
    }
    variable_list gradients(5);
    if (context->needs_input_grad(2)) gradients[2] = matmul_nt(dy.t(), (t * l).t());
    if (context->needs_input_grad(3)) gradients[3] = (dt * t).sum(0);
    dt.mul_(l);
    if (context->needs_input_grad(1)) gradients[1] = matmul_nt(dt.t(), x.t());
    if (context->needs_input_grad(0)) {
      gradients[0] = at::empty_like(x);
      for (size_t p = 0; p < paths; ++p) {
        scaled_product(gradients[0], {.x = part(dt, 1, p, paths),
                                      .b = part(V, 0, p, paths).t(),
                                      .out_scale = saved[5 + p],
                                      .adds = p > 0});
      }
    }
    return gradients;
  }
};

}  // namespace

SignFactors expand_factors(std::span<const SignPath> paths) {
  const c10::AutoGradMode without(false);
  const auto num_paths = static_cast<int64_t>(paths.size());
  const int64_t rank = paths[0].U.cols();
  const auto options = paths[0].u1.options().dtype(at::kBFloat16);
  // +1 and -1 in bf16, both paths as one matrix; scales stay beside it, in fp32.
  SignFactors factors{.V = at::empty({num_paths * rank, paths[0].V.cols()}, options),
                      .U = at::empty({paths[0].U.rows(), num_paths * rank}, options)};
  for (size_t p = 0; p < paths.size(); ++p) {
    paths[p].V.expand_into(part(factors.V, 0, p, paths.size()), {}, {});
    paths[p].U.expand_into(part(factors.U, 1, p, paths.size()), {}, {});
    factors.g.push_back(paths[p].v2);
    factors.h.push_back(paths[p].u1);
  }
  return factors;
}

at::Tensor sign_product(const at::Tensor& x, const SignFactors& factors,
                        const LittleBitLinear::Weights& weights) {
  const at::Tensor rows = x.reshape({-1, x.size(-1)});
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = factors.U.size(0);
  if (c10::GradMode::is_enabled() && (x.requires_grad() || weights.l.requires_grad())) {
    return RecordedSignProduct::apply(rows, weights.w1, weights.w2, weights.l, factors).view(shape);
  }
  return from_latent(to_latent(rows, factors).mul_(weights.l), factors).view(shape);
}

}  // namespace littlebit
