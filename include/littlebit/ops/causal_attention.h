// Causal attention without scores in full: windows, grouped heads, soft caps. It computes in fp32
// (fp64 for fp64 inputs); inputs in bf16 are multiplied as such, with sums in fp32.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>
#include <vector>

#include "littlebit/ops/operation_case.h"

namespace littlebit {

// The operation itself (src/ops/operation.h); nn/functional.h has the function and says what is
// computed. q [B, N, T, D], k, v [B, K, T, D] of one type. Returns what is mixed, [B, N, T, D] of
// that type, which lies in memory as [B, T, N, D], and the logarithms of the sums over e^score,
// [B, N, T] in the type computed in.
struct CausalAttention {
  using Result = std::tuple<at::Tensor, at::Tensor>;
  static constexpr char kName[] = "littlebit::causal_attention";
  static constexpr char kArguments[] =
      "(Tensor q, Tensor k, Tensor v, float scale, int window, float softcap) -> (Tensor, Tensor)";
  static constexpr bool kTwinDifferentiates = true;
  static Result call(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double scale,
                     int64_t window, double softcap);
  // All scores at once.
  static Result twin(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double scale,
                     int64_t window, double softcap);
  static Result cpu(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double scale,
                    int64_t window, double softcap);
  static Result autograd_cpu(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             double scale, int64_t window, double softcap);
  static Result cuda(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double scale,
                     int64_t window, double softcap);
  static Result autograd_cuda(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                              double scale, int64_t window, double softcap);
  // Whether a device's form is better than the twin for tensors of this type.
  static bool is_blocked(at::ScalarType dtype, at::Device device);
  // Whether a GPU's form is: ATen's flash attention, which takes queries like `q` with windows and
  // grouped heads, but no soft cap.
  static bool is_flash(const at::Tensor& q, double softcap);
  static bool is_flash(at::ScalarType dtype, at::Device device, int64_t head_dim, double softcap);
  static std::vector<OperationCase> cases();
};

// By q, k and v, of what CausalAttention gave, where `dy` and `d_log_sum` (of the logarithms, none:
// zeros) are the gradients by it.
struct CausalAttentionGradient {
  using Result = std::tuple<at::Tensor, at::Tensor, at::Tensor>;
  static constexpr char kName[] = "littlebit::causal_attention_gradient";
  static constexpr char kArguments[] =
      "(Tensor dy, Tensor? d_log_sum, Tensor q, Tensor k, Tensor v, Tensor y, Tensor log_sum,"
      " float scale, int window, float softcap) -> (Tensor, Tensor, Tensor)";
  static constexpr bool kTwinDifferentiates = false;
  static Result twin(const at::Tensor& dy, const std::optional<at::Tensor>& d_log_sum,
                     const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const at::Tensor& y, const at::Tensor& log_sum, double scale, int64_t window,
                     double softcap);
  static Result cpu(const at::Tensor& dy, const std::optional<at::Tensor>& d_log_sum,
                    const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const at::Tensor& y, const at::Tensor& log_sum, double scale, int64_t window,
                    double softcap);
  static Result cuda(const at::Tensor& dy, const std::optional<at::Tensor>& d_log_sum,
                     const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const at::Tensor& y, const at::Tensor& log_sum, double scale, int64_t window,
                     double softcap);
  // Bytes that the CPU's form for fp32 and bf16 holds beside what it reads and returns, with as
  // many threads as ATen has.
  static double scratch_bytes(int64_t sequences, int64_t heads, int64_t kv_heads, int64_t length,
                              int64_t head_dim, at::ScalarType dtype);
  static std::vector<OperationCase> cases();
};

}  // namespace littlebit
