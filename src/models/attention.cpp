// Three forms of one attention: plain (training and scoring), parts side by side, and behind a
// cache. They differ in where keys come from and in the masks, not in what is computed. Heads stay
// where the projections put them, [B, T, n, D]: transposes are views, and the operations read rows
// with strides.
#include "attention.h"

#include <ATen/ops/cat.h>

#include <cmath>

#include "littlebit/core/error.h"

namespace littlebit {
namespace {

struct Rotation {
  const at::Tensor& cos;
  const at::Tensor& sin;

  // Rotates x [B, n, T, D], whose tokens stand at positions begin .. begin + T - 1.
  at::Tensor operator()(const at::Tensor& x, int64_t begin) const {
    if (!cos.defined()) return x;
    const int64_t length = x.size(2);
    if (begin == 0 && length == cos.size(0)) return rotate(x, cos, sin);
    return rotate(x, cos.narrow(0, begin, length), sin.narrow(0, begin, length));
  }
};

Rotation rotation_of(const ModelSpec& spec, int64_t layer, const SequenceContext& context) {
  const bool local = !spec.uses_local_rope.empty() && spec.uses_local_rope[layer];
  return local ? Rotation{context.local_cos, context.local_sin}
               : Rotation{context.cos, context.sin};
}

struct Job {
  double scale, softcap;
  int64_t window;  // as the spec has it
};

at::Tensor attend_plainly(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                          const Job& job, const SequenceContext& context) {
  // A window as wide as the sequence hides nothing: such layers share the full band.
  const int64_t window = job.window < q.size(2) ? job.window : 0;
  const auto band = context.bands.find(window);
  return causal_attention(q, k, v, job.scale, window, job.softcap,
                          band == context.bands.end() ? at::Tensor() : band->second);
}

at::Tensor attend_in_parts(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const Job& job, const SequenceContext& context) {
  std::vector<at::Tensor> mixed;
  int64_t begin = 0;
  for (const SequencePart& part : context.parts) {
    const auto of = [&](const at::Tensor& x) { return x.narrow(2, begin, part.length); };
    const at::Tensor y =
        part.masks.empty()
            ? causal_attention(of(q), of(k), of(v), job.scale, job.window, job.softcap)
            : masked_attention(of(q), of(k), of(v), job.scale, job.softcap,
                               part.masks.at(job.window));
    mixed.push_back(y.transpose(1, 2));
    begin += part.length;
  }
  return at::cat(mixed, 1).transpose(1, 2);
}

// x [B, T, n * D] -> [B, T, n, D]
at::Tensor heads(const at::Tensor& x, const ModelSpec& spec, int64_t count) {
  return x.view({x.size(0), x.size(1), count, spec.head_dim});
}

// x [1, n, T, D] -> rows [T, n * D], and back.
at::Tensor to_rows(const at::Tensor& x) {
  return x.transpose(1, 2).reshape({x.size(2), x.size(1) * x.size(3)});
}
at::Tensor from_rows(const at::Tensor& rows, const ModelSpec& spec) {
  return heads(rows.unsqueeze(0), spec, spec.num_kv_heads).transpose(1, 2);
}

at::Tensor attend_behind(KeyValueCache& cache, const at::Tensor& q, const at::Tensor& k,
                         const at::Tensor& v, const Job& job, const SequenceContext& context) {
  // The prompt: nothing is behind it, and causal attention needs no scores in full.
  if (cache.length() == 0) return attend_plainly(q, k, v, job, context);
  const auto mask = context.masks.find(job.window);
  return masked_attention(q, k, v, job.scale, job.softcap,
                          mask == context.masks.end() ? at::Tensor() : mask->second);
}

}  // namespace

at::Tensor run(const LinearSlot& slot, const at::Tensor& x) {
  LB_ASSERT(slot.linear != nullptr, slot.name + " is open");
  return slot.linear->forward(x);
}

std::vector<at::Tensor> run_beside(std::initializer_list<const LinearSlot*> slots,
                                   const at::Tensor& x) {
  std::vector<const Linear*> linears;
  for (const LinearSlot* slot : slots) {
    LB_ASSERT(slot->linear != nullptr, slot->name + " is open");
    linears.push_back(slot->linear.get());
  }
  return linears[0]->forward_beside(at::ArrayRef(linears).slice(1), x);
}

at::Tensor attention(const Block& block, const ModelSpec& spec, int64_t layer, const at::Tensor& h,
                     const SequenceContext& context, KeyValueCache* cache) {
  const int64_t batch = h.size(0), length = h.size(1);
  const Job job{.scale = spec.attention_scale != 0
                             ? spec.attention_scale
                             : 1 / std::sqrt(static_cast<double>(spec.head_dim)),
                .softcap = spec.attention_softcap,
                .window = spec.layer_window(layer)};
  const int64_t past = cache == nullptr ? 0 : cache->length();
  int64_t first_key = past;  // where the keys begin that are made here
  at::Tensor q, k, v;
  // A latent cache keeps what stands between a layer's two matrices, r numbers for D n of them, and
  // makes keys and values of all positions anew: it must do so before norms and rotation, which act
  // on keys.
  if (cache != nullptr && cache->kind() == CacheKind::kLatent) {
    q = heads(run(block.q, h), spec, spec.num_heads);
    const auto [of_k, of_v] =
        cache->append(layer, job.window, block.k.linear->to_latent(h).flatten(0, 1),
                      block.v.linear->to_latent(h).flatten(0, 1));
    k = heads(block.k.linear->from_latent(of_k).unsqueeze(0), spec, spec.num_kv_heads);
    v = heads(block.v.linear->from_latent(of_v).unsqueeze(0), spec, spec.num_kv_heads);
    first_key = cache->first_visible(job.window);
  } else {
    const std::vector<at::Tensor> projected = run_beside({&block.q, &block.k, &block.v}, h);
    q = heads(projected[0], spec, spec.num_heads);
    k = heads(projected[1], spec, spec.num_kv_heads);
    v = heads(projected[2], spec, spec.num_kv_heads);
  }
  if (spec.qk_norm) {
    q = rms_norm(q, block.q_norm.weight.value, spec.norm_eps, spec.norm_offset);
    k = rms_norm(k, block.k_norm.weight.value, spec.norm_eps, spec.norm_offset);
  }
  const Rotation rotation = rotation_of(spec, layer, context);
  q = rotation(q.transpose(1, 2), past);
  k = rotation(k.transpose(1, 2), first_key);
  v = v.transpose(1, 2);
  // A full cache keeps keys as they are read: rotated once, by where they stand.
  if (cache != nullptr && cache->kind() == CacheKind::kFull) {
    const auto [keys, values] = cache->append(layer, job.window, to_rows(k), to_rows(v));
    k = from_rows(keys, spec);
    v = from_rows(values, spec);
  }
  const at::Tensor mixed = cache != nullptr        ? attend_behind(*cache, q, k, v, job, context)
                           : context.parts.empty() ? attend_plainly(q, k, v, job, context)
                                                   : attend_in_parts(q, k, v, job, context);
  return run(block.o, mixed.transpose(1, 2).reshape({batch, length, -1}));
}

}  // namespace littlebit
