// One product of three parts where the processor has tiles (ops/split_product.h).
#include "littlebit/ops/scaled_product.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/ones.h>

#include "littlebit/ops/product.h"
#include "ops/made_numbers.h"
#include "ops/operation.h"
#include "ops/split_product.h"

namespace littlebit {

void scaled_product(const at::Tensor& y, const ScaledProductJob& job) {
  dispatched<ScaledProduct>().call(y, job.x, job.b, optional_tensor(job.in_scale),
                                   optional_tensor(job.out_scale), job.adds);
}

void ScaledProduct::twin(const at::Tensor& y, const at::Tensor& x, const at::Tensor& b,
                         const std::optional<at::Tensor>& in_scale,
                         const std::optional<at::Tensor>& out_scale, bool adds) {
  // The two scales are those of a LittleBit layer's sides: (x diag(in)) B^T diag(out).
  at::Tensor product = matmul_nt(in_scale ? x * *in_scale : x, b.to(x.scalar_type()));
  if (out_scale) product = product * *out_scale;
  adds ? y.add_(product) : y.copy_(product);
}

void ScaledProduct::cpu(const at::Tensor& y, const at::Tensor& x, const at::Tensor& b,
                        const std::optional<at::Tensor>& in_scale,
                        const std::optional<at::Tensor>& out_scale, bool adds) {
  if (!has_split_products() || x.scalar_type() != at::kFloat) {
    return twin(y, x, b, in_scale, out_scale, adds);
  }
  // Applied while a block is split and while its sums are written: neither x * scale nor the
  // unscaled product ever exists as a whole.
  at::Tensor before, after;
  if (in_scale) before = in_scale->contiguous();
  if (out_scale) after = out_scale->contiguous();
  split_product({.a = x,
                 .b = b,
                 .y = y,
                 .in_scale = in_scale ? &before : nullptr,
                 .out_scale = out_scale ? &after : nullptr,
                 .adds = adds});
}

namespace {

struct CaseShape {
  int64_t m, n, k;
  bool in, out, adds, turned;
  bool timed = false;
};

// Every edge of blocks, panels and depths (128 rows, 256 columns, 512 of what is summed).
constexpr CaseShape kShapes[] = {
    {1, 1, 1, false, false, false, false},
    {3, 8, 5, true, false, false, true},
    {37, 65, 130, true, true, true, false},
    {37, 65, 131, false, true, false, true},
    {129, 257, 513, true, true, false, false},
    {130, 300, 171, false, false, true, true},
    {256, 32, 170, true, true, true, true},
    {64, 520, 1031, true, false, false, false},
    {33, 9, 5000, false, true, true, false},
    {0, 8, 8, true, true, false, false},
    {4, 0, 8, true, true, false, false},
    {4, 8, 0, true, true, false, false},
    {2048, 104, 512, true, false, false, false, true},
    {2048, 512, 104, false, true, true, false, true},
    {2048, 104, 512, false, false, false, true, true},
    {512, 1536, 576, false, false, false, false, true},
};

}  // namespace

std::vector<OperationCase> ScaledProduct::cases() {
  std::vector<OperationCase> cases;
  for (const CaseShape& shape : kShapes) {
    const auto scale = [](const char* name, int64_t count, bool used, at::Device device) {
      return used ? c10::IValue(made_numbers(name, {count}).to(device, at::kFloat)) : c10::IValue();
    };
    cases.push_back(
        {.operation = kName,
         .shape = std::to_string(shape.m) + " x " + std::to_string(shape.n) + " x " +
                  std::to_string(shape.k) + (shape.turned ? ", by columns" : "") +
                  (shape.adds ? ", added" : ""),
         .dtype = at::kFloat,
         .tolerance = 2e-6,
         .flops = 2.0 * static_cast<double>(shape.m) * static_cast<double>(shape.n * shape.k),
         .timed = shape.timed,
         .arguments = [=](at::Device device) {
           const at::Tensor b = made_numbers("b", {shape.n, shape.k}).to(device, at::kBFloat16);
           // A part of something wider, as a layer's paths are.
           const at::Tensor y = made_numbers("y", {shape.m, shape.n + 3})
                                    .to(device, at::kFloat)
                                    .narrow(1, 2, shape.n);
           return torch::jit::Stack{
               y,
               (made_numbers("x", {shape.m, shape.k}) / 3).to(device, at::kFloat),
               shape.turned ? b.t().contiguous().t() : b,
               scale("in", shape.k, shape.in, device),
               scale("out", shape.n, shape.out, device),
               shape.adds};
         }});
  }
  return cases;
}

}  // namespace littlebit
