// The one decoder: forward functions that obey the spec, and the walk over its slots and
// parameters.
#include "littlebit/models/decoder.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/tanh.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "attention.h"
#include "littlebit/core/error.h"
#include "littlebit/ops/layer_norm.h"
#include "littlebit/ops/rms_norm.h"
#include "rope.h"

namespace littlebit {
namespace {

at::Tensor run(const Norm& norm, const ModelSpec& spec, const at::Tensor& x, at::ScalarType dtype) {
  if (spec.norm == NormKind::kLayer) {
    return layer_norm_to(dtype, x, norm.weight.value, norm.bias.value, spec.norm_eps);
  }
  return rms_norm_to(dtype, x, norm.weight.value, spec.norm_eps, spec.norm_offset);
}

// x + branch, into the branch's memory where autograd keeps no reference to it.
at::Tensor add_residual(const at::Tensor& x, at::Tensor branch) {
  if (c10::GradMode::is_enabled() && branch.requires_grad()) return x + branch;
  return branch.add_(x);
}

// x + branch, and the norm of that.
NormedSum add_and_norm(const at::Tensor& x, const at::Tensor& branch, const Norm& norm,
                       const ModelSpec& spec, at::ScalarType dtype) {
  if (spec.norm == NormKind::kLayer) {
    return add_layer_norm_to(dtype, x, branch, norm.weight.value, norm.bias.value, spec.norm_eps);
  }
  return add_rms_norm_to(dtype, x, branch, norm.weight.value, spec.norm_eps, spec.norm_offset);
}

template <typename Visit>
void visit_used(std::initializer_list<LinearSlot*> slots, const Visit& visit) {
  for (LinearSlot* slot : slots) {
    if (slot->used()) visit(*slot);
  }
}

template <typename Visit>
void visit_used(Norm& norm, const Visit& visit) {
  if (norm.weight.used()) visit(norm.weight);
  if (norm.bias.used()) visit(norm.bias);
}

// A block's matrices, where they have to be brought, for as long as it lives.
class Acquired {
 public:
  Acquired(BlockSource* source, int64_t layer) : source_(source), layer_(layer) {
    if (source_ != nullptr) source_->acquire(layer_);
  }
  ~Acquired() {
    if (source_ != nullptr) source_->release(layer_);
  }
  Acquired(const Acquired&) = delete;
  Acquired& operator=(const Acquired&) = delete;

 private:
  BlockSource* source_;
  int64_t layer_;
};

constexpr Norm Block::*kBlockNorms[] = {&Block::input_norm,   &Block::q_norm,
                                        &Block::k_norm,       &Block::post_attention_norm,
                                        &Block::pre_mlp_norm, &Block::post_mlp_norm};

at::Tensor mlp(const Block& block, const ModelSpec& spec, const at::Tensor& h) {
  if (spec.fused_gate_up) {
    const std::vector<at::Tensor> parts = run(block.gate_up, h).chunk(2, -1);
    return run(block.down, activate_gated(parts[0], parts[1], spec.activation));
  }
  if (!spec.gated_mlp) return run(block.down, activate(run(block.up, h), spec.activation));
  const std::vector<at::Tensor> parts = run_beside({&block.gate, &block.up}, h);
  return run(block.down, activate_gated(parts[0], parts[1], spec.activation));
}

}  // namespace

Decoder::Decoder(ModelSpec spec, DecoderParts parts, at::ScalarType compute_dtype,
                 at::Device device)
    : spec_(std::move(spec)),
      parts_(std::move(parts)),
      compute_dtype_(compute_dtype),
      device_(device) {}

at::ScalarType Decoder::residual_dtype() const {
  return compute_dtype_ == at::kDouble ? at::kDouble : at::kFloat;
}

SequenceContext Decoder::rotation_tables(int64_t positions, int64_t length) const {
  SequenceContext context{.length = positions};
  const auto placed = at::TensorOptions().dtype(residual_dtype()).device(device_);
  if (spec_.rope.kind != RopeKind::kNone) {
    const auto [cos, sin] = rope_tables(spec_.rope, positions, length);
    context.cos = cos.to(placed);
    context.sin = sin.to(placed);
  }
  if (!spec_.uses_local_rope.empty()) {
    const auto [cos, sin] = rope_tables(spec_.local_rope, positions, length);
    context.local_cos = cos.to(placed);
    context.local_sin = sin.to(placed);
  }
  return context;
}

SequenceContext Decoder::context(int64_t length) const {
  SequenceContext context = rotation_tables(length, length);
  for (int64_t layer = 0; layer < spec_.num_layers; ++layer) {
    const int64_t window = spec_.layer_window(layer) < length ? spec_.layer_window(layer) : 0;
    if (context.bands.count(window) != 0) continue;
    context.bands[window] =
        causal_band(length, window, spec_.attention_softcap, compute_dtype_, device_);
  }
  return context;
}

at::Tensor Decoder::embedding_forward(const at::Tensor& ids_bt, const at::Tensor& positions) const {
  const at::Tensor rows = frozen_.grouped_embedding ? look_up(*frozen_.grouped_embedding, ids_bt)
                                                    : at::embedding(frozen_.embedding, ids_bt);
  at::Tensor x = rows.to(compute_dtype_);
  if (parts_.embedding.project_in.used()) x = run(parts_.embedding.project_in, x);
  x = x.to(residual_dtype());
  if (spec_.embedding_scale != 1) {
    // As the model was trained: the factor is rounded to the type it computes in.
    x = x * at::scalar_tensor(spec_.embedding_scale, compute_dtype_).item<double>();
  }
  if (spec_.learned_positions) {
    const at::Tensor places =
        positions.defined() ? frozen_.positions.index_select(0, positions + spec_.position_offset)
                            : frozen_.positions.narrow(0, spec_.position_offset, ids_bt.size(1));
    x = x + places.to(compute_dtype_).to(residual_dtype());
  }
  return x;
}

at::Tensor Decoder::block_forward(int64_t layer, const at::Tensor& x_bth,
                                  const SequenceContext& context, KeyValueCache* cache) const {
  const Acquired acquired(block_source_.get(), layer);
  const Block& block = parts_.blocks[layer];
  const at::ScalarType wide = residual_dtype();
  at::Tensor h = spec_.norm_first ? run(block.input_norm, spec_, x_bth, compute_dtype_) : x_bth;
  at::Tensor branch = attention(block, spec_, layer, h.to(compute_dtype_), context, cache).to(wide);
  if (spec_.sandwich_norms) branch = run(block.post_attention_norm, spec_, branch, wide);
  NormedSum sum;
  if (spec_.norm_first) {
    sum = add_and_norm(x_bth, branch, block.pre_mlp_norm, spec_, compute_dtype_);
  } else {
    sum.sum = add_and_norm(x_bth, branch, block.input_norm, spec_, wide).normed;
    sum.normed = sum.sum.to(compute_dtype_);
  }

  branch = mlp(block, spec_, sum.normed).to(wide);
  if (spec_.sandwich_norms) branch = run(block.post_mlp_norm, spec_, branch, wide);
  if (spec_.norm_first) return add_residual(sum.sum, branch);
  return add_and_norm(sum.sum, branch, block.pre_mlp_norm, spec_, wide).normed;
}

at::Tensor Decoder::tail_forward(const at::Tensor& x_bth) const {
  at::Tensor z =
      spec_.final_norm ? run(parts_.tail.final_norm, spec_, x_bth, residual_dtype()) : x_bth;
  if (parts_.tail.project_out.used()) {
    z = run(parts_.tail.project_out, z.to(compute_dtype_)).to(residual_dtype());
  }
  return z;
}

at::Tensor Decoder::head_forward(const at::Tensor& z) const {
  LB_ASSERT(parts_.head.linear != nullptr, "the head is there");
  const at::Tensor logits = parts_.head.linear->forward_unrounded(z.to(compute_dtype_));
  if (spec_.logit_softcap == 0) return logits;
  return at::tanh(logits / spec_.logit_softcap) * spec_.logit_softcap;
}

void Decoder::visit_linears(int64_t group, const std::function<void(LinearSlot&)>& visit) {
  if (group == 0) return visit_used({&parts_.embedding.project_in}, visit);
  if (group == num_groups() - 1) return visit_used({&parts_.tail.project_out}, visit);
  Block& block = parts_.blocks[group - 1];
  visit_used(
      {&block.q, &block.k, &block.v, &block.o, &block.gate, &block.up, &block.gate_up, &block.down},
      visit);
}

void Decoder::visit_parameters(int64_t group, const std::function<void(Parameter&)>& visit) {
  if (group == 0) return;
  if (group == num_groups() - 1) return visit_used(parts_.tail.final_norm, visit);
  for (const auto norm : kBlockNorms) visit_used(parts_.blocks[group - 1].*norm, visit);
}

void Decoder::visit_linears(const std::function<void(LinearSlot&)>& visit) {
  for (int64_t group = 0; group < num_groups(); ++group) visit_linears(group, visit);
}

void Decoder::visit_parameters(const std::function<void(Parameter&)>& visit) {
  for (int64_t group = 0; group < num_groups(); ++group) visit_parameters(group, visit);
}

Decoder open_decoder(const Decoder& teacher) {
  Decoder student(teacher.spec(), teacher.parts(), teacher.compute_dtype(), teacher.device());
  student.set_frozen(teacher.frozen());
  student.visit_linears([](LinearSlot& slot) { slot.linear = nullptr; });
  student.visit_parameters(
      [](Parameter& parameter) { parameter.value = parameter.value.detach().clone(); });
  return student;
}

}  // namespace littlebit
