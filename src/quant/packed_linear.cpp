// A layer's inference straight from its bits, in the form that is the fastest for the number of
// rows. Whatever the form, there is no dense copy of a whole factor.
#include "littlebit/quant/packed_linear.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "littlebit/ops/product.h"
#include "littlebit/ops/scaled_product.h"

namespace littlebit {

namespace {

// y (+)= by `signs`, of which a piece at a time is expanded.
void multiply_signs(const PackedSigns& signs, const at::Tensor& y, const ScaledProductJob& given) {
  constexpr int64_t kPiece = 1 << 22;  // numbers
  const int64_t rows = std::max<int64_t>(1, kPiece / signs.cols());
  ScaledProductJob job = given;
  for (int64_t begin = 0; begin < signs.rows(); begin += rows) {
    const int64_t count = std::min(rows, signs.rows() - begin);
    job.b = at::empty({count, signs.cols()}, y.options().dtype(at::kBFloat16));
    signs.expand_into(job.b, begin, {}, {});
    if (given.out_scale.defined()) job.out_scale = given.out_scale.narrow(0, begin, count);
    scaled_product(y.narrow(1, begin, count), job);
  }
}

}  // namespace

PackedLinear::PackedLinear(std::string name, std::vector<PackedPath> paths, at::Tensor bias,
                           at::ScalarType compute_dtype)
    : name_(std::move(name)),
      paths_(std::move(paths)),
      bias_(std::move(bias)),
      compute_dtype_(compute_dtype) {}

int64_t PackedLinear::latent_size() const {
  return static_cast<int64_t>(paths_.size()) * paths_[0].V.rows();
}

int64_t PackedLinear::bytes() const {
  auto bytes = static_cast<int64_t>(bias_.defined() ? bias_.nbytes() : 0);
  for (const PackedPath& path : paths_) {
    bytes += path.U.bytes() + path.V.bytes();
    for (const at::Tensor* scale : {&path.h, &path.l, &path.g}) {
      bytes += static_cast<int64_t>(scale->nbytes());
    }
  }
  return bytes;
}

bool PackedLinear::from_bits(const at::Tensor& x) const {
  return paths_[0].V.multiplies(x.numel() / x.size(-1), compute_dtype_);
}

// As the student's layers are multiplied: to the same bits.
bool PackedLinear::in_signs(const at::Tensor& x) const {
  return compute_dtype_ == at::kFloat && has_fast_mixed_products(x.device());
}

at::Tensor PackedLinear::forward(const at::Tensor& x) const { return from_latent(to_latent(x)); }

std::vector<at::Tensor> PackedLinear::forward_beside(at::ArrayRef<const Linear*> others,
                                                     const at::Tensor& x) const {
  std::vector<const PackedLinear*> layers{this};
  for (const Linear* other : others) {
    const auto* const layer = dynamic_cast<const PackedLinear*>(other);
    if (layer == nullptr || layer->paths_.size() != paths_.size() ||
        layer->compute_dtype_ != compute_dtype_ || layer->bias_.defined() != bias_.defined()) {
      return Linear::forward_beside(others, x);
    }
    layers.push_back(layer);
  }
  if (!from_bits(x)) return Linear::forward_beside(others, x);
  const c10::AutoGradMode no_grad(false);
  const at::Tensor latents = latents_of(layers, x.reshape({-1, x.size(-1)}));
  const at::Tensor all = results_of(layers, latents);
  std::vector<at::Tensor> results;
  int64_t column = 0;
  for (const PackedLinear* layer : layers) {
    const int64_t d_out = layer->paths_[0].U.rows();
    std::vector<int64_t> shape = x.sizes().vec();
    shape.back() = d_out;
    results.push_back(all.narrow(1, column, d_out).view(shape));
    column += d_out;
  }
  return results;
}

at::Tensor PackedLinear::latents_of(at::ArrayRef<const PackedLinear*> layers,
                                    const at::Tensor& rows) {
  std::vector<SignedSum> sums;
  for (const PackedLinear* layer : layers) {
    for (const PackedPath& path : layer->paths_) {
      sums.push_back(
          {.terms = {{.signs = &path.V, .begin = 0, .in_scale = path.g, .out_scale = path.l}}});
    }
  }
  return multiply_packed_signs(rows, sums);
}

at::Tensor PackedLinear::results_of(at::ArrayRef<const PackedLinear*> layers,
                                    const at::Tensor& latents) {
  std::vector<SignedSum> sums;
  int64_t column = 0;
  for (const PackedLinear* layer : layers) {
    SignedSum sum{.bias = layer->bias_};
    for (const PackedPath& path : layer->paths_) {
      sum.terms.push_back({.signs = &path.U, .begin = column, .out_scale = path.h});
      column += path.U.cols();
    }
    sums.push_back(std::move(sum));
  }
  return multiply_packed_signs(latents, sums);
}

at::Tensor PackedLinear::to_latent(const at::Tensor& x) const {
  const c10::AutoGradMode no_grad(false);
  const at::Tensor rows = x.reshape({-1, x.size(-1)});
  const int64_t rank = paths_[0].V.rows();
  at::Tensor t;
  const auto of_path = [rank](size_t p) { return static_cast<int64_t>(p) * rank; };
  if (from_bits(x)) {
    t = latents_of({this}, rows);
  } else if (in_signs(x)) {
    t = at::empty({rows.size(0), latent_size()}, rows.options());
    for (size_t p = 0; p < paths_.size(); ++p) {
      const at::Tensor part = t.narrow(1, of_path(p), rank);
      multiply_signs(paths_[p].V, part, {.x = rows, .in_scale = paths_[p].g});
      part.mul_(paths_[p].l);
    }
  } else {
    // The paths' rows lie one below the other.
    t = chunked_matmul(rows, latent_size(), [&](int64_t begin, int64_t size) {
      const at::Tensor out = at::empty({size, rows.size(1)}, rows.options());
      const int64_t end = begin + size;
      for (size_t p = 0; p < paths_.size(); ++p) {
        const int64_t first = std::max(begin, of_path(p));
        const int64_t count = std::min(end, of_path(p + 1)) - first;
        if (count <= 0) continue;
        paths_[p].V.expand_into(out.narrow(0, first - begin, count), first - of_path(p), {},
                                paths_[p].g.to(compute_dtype_));
      }
      return out;
    });
    for (size_t p = 0; p < paths_.size(); ++p) {
      t.narrow(1, of_path(p), rank).mul_(paths_[p].l.to(compute_dtype_));
    }
  }
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = latent_size();
  return t.view(shape);
}

at::Tensor PackedLinear::from_latent(const at::Tensor& latent) const {
  const c10::AutoGradMode no_grad(false);
  const at::Tensor rows = latent.reshape({-1, latent.size(-1)});
  const int64_t rank = paths_[0].V.rows(), d_out = paths_[0].U.rows();
  at::Tensor y;
  if (from_bits(latent)) {
    y = results_of({this}, rows);
  } else if (in_signs(latent)) {
    y = at::empty({rows.size(0), d_out}, rows.options());
    for (size_t p = 0; p < paths_.size(); ++p) {
      multiply_signs(paths_[p].U, y,
                     {.x = rows.narrow(1, static_cast<int64_t>(p) * rank, rank),
                      .out_scale = paths_[p].h,
                      .adds = p > 0});
    }
    if (bias_.defined()) y.add_(bias_);
  } else {
    // The paths' columns lie side by side.
    y = chunked_matmul(rows, d_out, [&](int64_t begin, int64_t size) {
      const at::Tensor out = at::empty({size, rows.size(1)}, rows.options());
      for (size_t p = 0; p < paths_.size(); ++p) {
        paths_[p].U.expand_into(out.narrow(1, static_cast<int64_t>(p) * rank, rank), begin,
                                paths_[p].h.to(compute_dtype_), {});
      }
      return out;
    });
    if (bias_.defined()) y.add_(bias_.to(compute_dtype_));
  }
  std::vector<int64_t> shape = latent.sizes().vec();
  shape.back() = d_out;
  return y.reshape(shape);
}

}  // namespace littlebit
