// Attention whose scores never exist as a whole (attention_blocks.h; on a GPU ATen's flash
// attention): T^2 numbers per head would be most of a block's activations. Forward, a running
// maximum and sum per query let blocks of keys be mixed one after the other; what is kept is the
// result and the logarithm of each sum, from which the backward pass makes the weights again. The
// plain form has all scores, and is differentiable to any order.
#include "littlebit/ops/causal_attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/_flash_attention_backward.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tanh.h>
#include <torch/csrc/autograd/custom_function.h>

#include <limits>

#include "ops/attention_blocks.h"
#include "ops/made_numbers.h"
#include "ops/operation.h"

namespace littlebit {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// [B, K, T, D] for each of N heads of queries. Grouped heads: N / K heads of queries, one after
// another, share a head of keys and values.
at::Tensor for_queries(const at::Tensor& x, int64_t heads) {
  const at::Tensor wide = x.to(accumulate_type(x));
  const int64_t group = heads / x.size(1);
  if (group == 1) return wide;
  return wide.unsqueeze(2)
      .expand({x.size(0), x.size(1), group, x.size(2), x.size(3)})
      .reshape({x.size(0), heads, x.size(2), x.size(3)});
}

// The other way round: sums over the heads of queries.
at::Tensor for_keys(const at::Tensor& x, const at::Tensor& like) {
  return x.view({like.size(0), like.size(1), x.size(1) / like.size(1), like.size(2), like.size(3)})
      .sum(2)
      .to(like.scalar_type());
}

// All scores, those that are not seen among them. The plain form copies keys for each head of
// queries and computes every score; the other forms are compared with it, and other devices and
// types use it.
at::Tensor all_scores(const at::Tensor& q, const at::Tensor& k, double scale, double softcap) {
  const at::Tensor wide = q.to(accumulate_type(q));
  const at::Tensor scores = at::matmul(wide, for_queries(k, q.size(1)).transpose(2, 3)) * scale;
  return softcap > 0 ? at::tanh(scores / softcap) * softcap : scores;
}

// The lower triangle, of which a window leaves the last `window` diagonals.
at::Tensor hidden_places(const at::Tensor& scores, int64_t window) {
  at::Tensor seen =
      at::ones({scores.size(2), scores.size(3)}, scores.options().dtype(at::kBool)).tril();
  if (window > 0) seen = seen.triu(1 - window);
  return seen.logical_not();
}

// As [B, T, N, D] in memory. The output projection reads a position's heads side by side: laid out
// so, they need no copy.
at::Tensor by_positions(const at::Tensor& x) {
  return x.transpose(1, 2).contiguous().transpose(1, 2);
}
at::Tensor empty_by_positions(const at::Tensor& like) {
  return like.new_empty({like.size(0), like.size(2), like.size(1), like.size(3)}).transpose(1, 2);
}

void check_shapes(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  TORCH_CHECK(q.dim() == 4 && k.dim() == 4 && k.sizes() == v.sizes() && q.size(0) == k.size(0) &&
                  q.size(2) == k.size(2) && q.size(3) == k.size(3) && k.size(1) > 0 &&
                  q.size(1) % k.size(1) == 0,
              "shapes of an attention: ", q.sizes(), ", ", k.sizes(), ", ", v.sizes());
}

// Positions before the query's own that flash attention lets it see; none given: all.
std::optional<int64_t> positions_before(int64_t window) {
  return window > 0 ? std::optional(window - 1) : std::nullopt;
}

bool records(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  return c10::GradMode::is_enabled() &&
         (q.requires_grad() || k.requires_grad() || v.requires_grad());
}

bool is_flash(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double softcap) {
  return CausalAttention::is_flash(q, softcap) && k.scalar_type() == q.scalar_type() &&
         v.scalar_type() == q.scalar_type();
}

bool has_blocks(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  return CausalAttention::is_blocked(q.scalar_type(), q.device()) &&
         k.scalar_type() == q.scalar_type() && v.scalar_type() == q.scalar_type();
}

AttentionRule rule_of(double scale, int64_t window, double softcap) {
  return {
      .window = window, .scale = static_cast<float>(scale), .softcap = static_cast<float>(softcap)};
}

// What blocks read: bf16 where that is multiplied, rows without gaps. Else fp32, which holds every
// bf16 number: the result is then more exact, not less.
class Readable {
 public:
  explicit Readable(const at::Tensor& q)
      : type_(attends_in_bf16(q.size(3)) ? q.scalar_type() : at::kFloat) {}
  explicit Readable(at::ScalarType type) : type_(type) {}
  at::Tensor operator()(const at::Tensor& x) const {
    const at::Tensor typed = x.to(type_);
    return typed.stride(3) == 1 ? typed : typed.contiguous();
  }

 private:
  at::ScalarType type_;
};

// Keeps inputs, result and logarithms, all linear in T: weights are made again from scores and
// logarithms.
class RecordedAttention : public torch::autograd::Function<RecordedAttention> {
 public:
  static variable_list forward(AutogradContext* context, const at::Tensor& q, const at::Tensor& k,
                               const at::Tensor& v, double scale, int64_t window, double softcap) {
    const at::AutoDispatchBelowADInplaceOrView below;
    const auto [y, log_sum] = dispatched<CausalAttention>().call(q, k, v, scale, window, softcap);
    context->save_for_backward({q, k, v, y, log_sum});
    context->saved_data["scale"] = scale;
    context->saved_data["window"] = window;
    context->saved_data["softcap"] = softcap;
    // The logarithms are rarely used; zeros as their gradient would be one more tensor to subtract.
    context->set_materialize_grads(false);
    return {y, log_sum};
  }

  static variable_list backward(AutogradContext* context, const variable_list& given) {
    const variable_list saved = context->get_saved_variables();
    // Undefined where only the logarithms were used.
    const at::Tensor dy = given[0].defined() ? given[0] : saved[3].new_zeros(saved[3].sizes());
    auto [dq, dk, dv] = dispatched<CausalAttentionGradient>().call(
        dy, optional_tensor(given[1]), saved[0], saved[1], saved[2], saved[3], saved[4],
        context->saved_data["scale"].toDouble(), context->saved_data["window"].toInt(),
        context->saved_data["softcap"].toDouble());
    return {dq, dk, dv, {}, {}, {}};
  }
};

}  // namespace

CausalAttention::Result CausalAttention::call(const at::Tensor& q, const at::Tensor& k,
                                              const at::Tensor& v, double scale, int64_t window,
                                              double softcap) {
  return dispatched<CausalAttention>().call(q, k, v, scale, window, softcap);
}

bool CausalAttention::is_blocked(at::ScalarType dtype, at::Device device) {
  return device.is_cpu() && (dtype == at::kFloat || dtype == at::kBFloat16);
}

CausalAttention::Result CausalAttention::twin(const at::Tensor& q, const at::Tensor& k,
                                              const at::Tensor& v, double scale, int64_t window,
                                              double softcap) {
  check_shapes(q, k, v);
  at::Tensor scores = all_scores(q, k, scale, softcap);
  scores =
      scores.masked_fill(hidden_places(scores, window), -std::numeric_limits<double>::infinity());
  at::Tensor log_sum = at::logsumexp(scores, -1);
  // softmax(scores), computed as the backward pass will compute it again.
  const at::Tensor weights = (scores - log_sum.unsqueeze(-1)).exp();
  const at::Tensor y = at::matmul(weights, for_queries(v, q.size(1))).to(q.scalar_type());
  return {by_positions(y), std::move(log_sum)};
}

CausalAttention::Result CausalAttention::cpu(const at::Tensor& q, const at::Tensor& k,
                                             const at::Tensor& v, double scale, int64_t window,
                                             double softcap) {
  // fp64 (tests compute in it) and mixed types have no form of their own.
  if (!has_blocks(q, k, v)) return twin(q, k, v, scale, window, softcap);
  check_shapes(q, k, v);
  const Readable readable(q);
  const at::Tensor queries = readable(q), y = empty_by_positions(queries);
  at::Tensor log_sum =
      q.new_empty({q.size(0), q.size(1), q.size(2)}, q.options().dtype(at::kFloat));
  if (q.numel() > 0) {
    attend_by_blocks(queries, readable(k), readable(v), rule_of(scale, window, softcap), y,
                     log_sum);
  }
  return {y.to(q.scalar_type()), std::move(log_sum)};
}

CausalAttention::Result CausalAttention::autograd_cpu(const at::Tensor& q, const at::Tensor& k,
                                                      const at::Tensor& v, double scale,
                                                      int64_t window, double softcap) {
  if (!has_blocks(q, k, v)) return twin(q, k, v, scale, window, softcap);
  if (records(q, k, v)) {
    variable_list both = RecordedAttention::apply(q, k, v, scale, window, softcap);
    return {std::move(both[0]), std::move(both[1])};
  }
  const at::AutoDispatchBelowADInplaceOrView below;
  return cpu(q, k, v, scale, window, softcap);
}

bool CausalAttention::is_flash(const at::Tensor& q, double softcap) {
  return q.numel() > 0 && is_flash(q.scalar_type(), q.device(), q.size(3), softcap);
}

bool CausalAttention::is_flash(at::ScalarType dtype, at::Device device, int64_t head_dim,
                               double softcap) {
  // Beyond 192 its backward pass wants more shared memory than every GPU has. Its kernels want
  // head sizes in multiples of 8.
  constexpr int64_t kSizes = 8, kLargestSize = 192;
  return device.is_cuda() && (dtype == at::kBFloat16 || dtype == at::kHalf) && softcap == 0 &&
         head_dim % kSizes == 0 && head_dim <= kLargestSize;
}

CausalAttention::Result CausalAttention::cuda(const at::Tensor& q, const at::Tensor& k,
                                              const at::Tensor& v, double scale, int64_t window,
                                              double softcap) {
  if (!littlebit::is_flash(q, k, v, softcap)) return twin(q, k, v, scale, window, softcap);
  check_shapes(q, k, v);
  const Readable readable(q.scalar_type());
  // It takes and returns [B, T, N, D], and counts a window without the query's own position.
  auto [y, log_sum, random, unused, debug] = at::_flash_attention_forward(
      readable(q).transpose(1, 2), readable(k).transpose(1, 2), readable(v).transpose(1, 2), {}, {},
      q.size(2), q.size(2), /*dropout_p=*/0, /*is_causal=*/true, /*return_debug_mask=*/false, scale,
      positions_before(window), /*window_size_right=*/0);
  return {y.transpose(1, 2), std::move(log_sum)};
}

CausalAttention::Result CausalAttention::autograd_cuda(const at::Tensor& q, const at::Tensor& k,
                                                       const at::Tensor& v, double scale,
                                                       int64_t window, double softcap) {
  if (!littlebit::is_flash(q, k, v, softcap)) return twin(q, k, v, scale, window, softcap);
  if (records(q, k, v)) {
    variable_list both = RecordedAttention::apply(q, k, v, scale, window, softcap);
    return {std::move(both[0]), std::move(both[1])};
  }
  const at::AutoDispatchBelowADInplaceOrView below;
  return cuda(q, k, v, scale, window, softcap);
}

CausalAttentionGradient::Result CausalAttentionGradient::twin(
    const at::Tensor& dy, const std::optional<at::Tensor>& d_log_sum, const at::Tensor& q,
    const at::Tensor& k, const at::Tensor& v, const at::Tensor& y, const at::Tensor& log_sum,
    double scale, int64_t window, double softcap) {
  const at::ScalarType type = accumulate_type(q);
  const at::Tensor scores = all_scores(q, k, scale, softcap), of_y = dy.to(type);
  // P = e^(S - L), dS = P * (dY V^T - delta) * scale with delta the row sums of dY * Y, and through
  // the soft cap, whose derivative is 1 - (s / cap)^2 (attention_blocks.cpp has the whole of it).
  const at::Tensor weights =
      (scores - log_sum.unsqueeze(-1)).exp().masked_fill(hidden_places(scores, window), 0);
  // By Y = P V this is the sum over keys of P * dP.
  at::Tensor delta = (of_y * y.to(type)).sum(-1);
  if (d_log_sum) delta = delta - *d_log_sum;
  const at::Tensor values = for_queries(v, q.size(1)), keys = for_queries(k, q.size(1));
  at::Tensor d_scores =
      weights * (at::matmul(of_y, values.transpose(2, 3)) - delta.unsqueeze(-1)) * scale;
  if (softcap > 0) d_scores = d_scores * (1 - (scores / softcap).square());
  return {by_positions(at::matmul(d_scores, keys).to(q.scalar_type())),
          by_positions(for_keys(at::matmul(d_scores.transpose(2, 3), q.to(type)), k)),
          by_positions(for_keys(at::matmul(weights.transpose(2, 3), of_y), v))};
}

CausalAttentionGradient::Result CausalAttentionGradient::cpu(
    const at::Tensor& dy, const std::optional<at::Tensor>& d_log_sum, const at::Tensor& q,
    const at::Tensor& k, const at::Tensor& v, const at::Tensor& y, const at::Tensor& log_sum,
    double scale, int64_t window, double softcap) {
  if (!has_blocks(q, k, v) || log_sum.scalar_type() != at::kFloat) {
    return twin(dy, d_log_sum, q, k, v, y, log_sum, scale, window, softcap);
  }
  check_shapes(q, k, v);
  TORCH_CHECK(dy.sizes() == q.sizes() && y.sizes() == q.sizes(), "shapes of an attention's result");
  const Readable readable(q);
  const at::Tensor queries = readable(q), keys = readable(k), values = readable(v);
  const at::Tensor dq = empty_by_positions(queries), dk = empty_by_positions(keys),
                   dv = empty_by_positions(values);
  if (q.numel() > 0) {
    attention_gradients_by_blocks(readable(dy),
                                  d_log_sum ? d_log_sum->to(at::kFloat).contiguous() : at::Tensor(),
                                  queries, keys, values, readable(y), log_sum.contiguous(),
                                  rule_of(scale, window, softcap), dq, dk, dv);
  }
  const at::ScalarType dtype = q.scalar_type();
  return {dq.to(dtype), dk.to(dtype), dv.to(dtype)};
}

double CausalAttentionGradient::scratch_bytes(int64_t sequences, int64_t heads, int64_t kv_heads,
                                              int64_t length, int64_t head_dim,
                                              at::ScalarType dtype) {
  const bool is_narrow = dtype == at::kBFloat16 && attends_in_bf16(head_dim);
  const double blocks = attention_gradient_scratch(sequences, heads, kv_heads, length, head_dim,
                                                   is_narrow ? at::kBFloat16 : at::kFloat);
  if (is_narrow || dtype == at::kFloat) return blocks;
  // In fp32: dy, q, y and dq; k, v, dk and dv.
  return blocks + 4.0 * 4.0 * static_cast<double>((heads + kv_heads) * head_dim) *
                      static_cast<double>(sequences * length);
}

CausalAttentionGradient::Result CausalAttentionGradient::cuda(
    const at::Tensor& dy, const std::optional<at::Tensor>& d_log_sum, const at::Tensor& q,
    const at::Tensor& k, const at::Tensor& v, const at::Tensor& y, const at::Tensor& log_sum,
    double scale, int64_t window, double softcap) {
  // Flash attention's backward takes no gradient of the logarithms; nobody here has one.
  if (!is_flash(q, k, v, softcap) || d_log_sum || log_sum.scalar_type() != at::kFloat) {
    return twin(dy, d_log_sum, q, k, v, y, log_sum, scale, window, softcap);
  }
  check_shapes(q, k, v);
  TORCH_CHECK(dy.sizes() == q.sizes() && y.sizes() == q.sizes(), "shapes of an attention's result");
  const Readable readable(q.scalar_type());
  const at::Tensor none;
  // The state of its random numbers, which dropout alone would use.
  const at::Tensor no_dropout = at::empty({0}, q.options().dtype(at::kUInt64));
  auto [dq, dk, dv] = at::_flash_attention_backward(
      readable(dy).transpose(1, 2), readable(q).transpose(1, 2), readable(k).transpose(1, 2),
      readable(v).transpose(1, 2), readable(y).transpose(1, 2), log_sum.contiguous(), none, none,
      q.size(2), q.size(2), /*dropout_p=*/0, /*is_causal=*/true, no_dropout, no_dropout, scale,
      positions_before(window), /*window_size_right=*/0);
  return {dq.transpose(1, 2), dk.transpose(1, 2), dv.transpose(1, 2)};
}

namespace {

struct CaseShape {
  int64_t batch, heads, kv_heads, length, size;
  int64_t window = 0;
  double softcap = 0;
  bool timed = false;

  // How many pairs of query and key see each other: `seen` for most queries, fewer for the first
  // ones.
  double pairs() const {
    const int64_t seen = window > 0 && window < length ? window : length;
    return static_cast<double>(batch * heads) * static_cast<double>(seen) *
           (static_cast<double>(length) - static_cast<double>(seen - 1) / 2);
  }
  at::Tensor numbers(const char* name, int64_t count, at::Device device,
                     at::ScalarType dtype) const {
    return made_numbers(name, {batch, length, count, size}).transpose(1, 2).to(device, dtype);
  }
};

// Edges of blocks of 64 queries and 128 or 256 keys, windows within one block and across several,
// nothing at all, head sizes that bf16 cannot pair, and sizes of models for the benchmark.
constexpr CaseShape kShapes[] = {
    {2, 4, 4, 9, 4},
    {1, 6, 2, 70, 8, 5},
    {1, 3, 1, 130, 12, 0, 1.5},
    {2, 2, 2, 65, 6, 64, 0.7},
    {1, 2, 1, 301, 16, 40},
    {3, 8, 8, 33, 5},
    {1, 1, 1, 1, 8},
    {1, 2, 2, 0, 8},
    {0, 2, 2, 3, 8},
    {9, 4, 2, 67, 10, 1},
    {2, 4, 2, 130, 64, 33},
    {4, 8, 8, 512, 64, 0, 0, true},
    {1, 9, 3, 2048, 64, 0, 0, true},
    {1, 8, 4, 2048, 128, 512, 0, true},
    {1, 8, 4, 2048, 128, 512, 50, true},
};

// `products`: how many of each pair of query and key. Forward QK^T and PV; backward those of S, dP,
// dV, dK and dQ.
template <class Make>
std::vector<OperationCase> attention_cases(const char* name, double products, double narrow,
                                           const Make& make) {
  std::vector<OperationCase> cases;
  for (const CaseShape& shape : kShapes) {
    for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
      if (shape.timed && dtype == at::kDouble) continue;
      const auto number = [](int64_t n) { return std::to_string(n); };
      cases.push_back({.operation = name,
                       .shape = number(shape.batch) + " x " + number(shape.length) + ", " +
                                number(shape.heads) + " heads on " + number(shape.kv_heads) +
                                " of " + number(shape.size) +
                                (shape.window > 0 ? ", window " + number(shape.window) : "") +
                                (shape.softcap > 0 ? ", soft cap" : ""),
                       .dtype = dtype,
                       // In bf16 weights are rounded before they are multiplied.
                       .tolerance = dtype == at::kDouble  ? 1e-12
                                    : dtype == at::kFloat ? 3e-6
                                                          : narrow,
                       .flops = 2 * products * shape.pairs() * static_cast<double>(shape.size),
                       .timed = shape.timed,
                       .arguments = [=](at::Device device) { return make(shape, device, dtype); }});
    }
  }
  return cases;
}

}  // namespace

std::vector<OperationCase> CausalAttention::cases() {
  return attention_cases(
      kName, 2, 6e-3, [](const CaseShape& shape, at::Device device, at::ScalarType dtype) {
        return torch::jit::Stack{shape.numbers("q", shape.heads, device, dtype),
                                 shape.numbers("k", shape.kv_heads, device, dtype),
                                 shape.numbers("v", shape.kv_heads, device, dtype),
                                 0.4,
                                 shape.window,
                                 shape.softcap};
      });
}

std::vector<OperationCase> CausalAttentionGradient::cases() {
  return attention_cases(
      kName, 5, 1e-2, [](const CaseShape& shape, at::Device device, at::ScalarType dtype) {
        const at::Tensor q = shape.numbers("q", shape.heads, device, dtype),
                         k = shape.numbers("k", shape.kv_heads, device, dtype),
                         v = shape.numbers("v", shape.kv_heads, device, dtype);
        const auto [y, log_sum] = CausalAttention::call(q, k, v, 0.4, shape.window, shape.softcap);
        const bool with_sum = shape.batch != 2;
        return torch::jit::Stack{
            shape.numbers("dy", shape.heads, device, dtype),
            with_sum
                ? c10::IValue(made_numbers("d_log_sum", {shape.batch, shape.heads, shape.length})
                                  .to(log_sum.options()))
                : c10::IValue(),
            q,
            k,
            v,
            y,
            log_sum,
            0.4,
            shape.window,
            shape.softcap};
      });
}

}  // namespace littlebit
