// A group's buffers of bits and vectors, and the views that layers, biases and norms are into them.
//
//     bits      a bit for each latent of V and U           a SignMatrix: buffer and first bit
//     vectors   u1 u2 v1 v2 of all layers, biases, norms   tensors, views of the buffer
//
// Nothing is copied between a buffer and the layers: the optimizer writes a buffer, and the next
// forward pass reads what it wrote. What a forward pass multiplies by (W1, W2, L) is made from the
// two before a group runs and freed after it.
#include "littlebit/quant/student.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <limits>

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/kernels/signs.h"

namespace littlebit {
namespace {

GroupLayout lay_out(std::span<LinearSlot* const> slots, std::span<Parameter* const> parameters,
                    std::span<const LayerPlan> plans) {
  LB_ASSERT(slots.size() == plans.size(), "one plan per slot");
  std::vector<bool> has_bias;
  for (size_t i = 0; i < slots.size(); ++i) {
    LB_ASSERT(plans[i].name == slots[i]->name, "plans in the order of the slots");
    has_bias.push_back(slots[i]->has_bias);
  }
  std::vector<NamedShape> shapes;
  for (const Parameter* parameter : parameters) {
    shapes.emplace_back(parameter->name, parameter->value.sizes().vec());
  }
  return lay_out_group(plans, has_bias, shapes);
}

}  // namespace

StudentGroup::StudentGroup(Decoder& decoder, int64_t group, std::span<const LayerPlan> plans) {
  std::vector<LinearSlot*> slots;
  std::vector<Parameter*> parameters;
  // The order in which a decoder shows its slots is that of plans, layers and names everywhere: in
  // buffers, checkpoints and exports.
  decoder.visit_linears(group, [&](LinearSlot& slot) { slots.push_back(&slot); });
  decoder.visit_parameters(group, [&](Parameter& parameter) { parameters.push_back(&parameter); });
  layout_ = lay_out(slots, parameters, plans);

  // Scales, biases and norms have the residual stream's type, fp32 (fp64 in tests), whatever the
  // products compute in.
  const auto options = at::TensorOptions().dtype(decoder.residual_dtype()).device(decoder.device());
  bits_ = at::zeros({layout_.num_latents / 32}, options.dtype(at::kInt));
  vectors_ = at::zeros({layout_.num_vectors}, options);
  const auto vector = [&](size_t segment) { return layout_.vectors[segment].view(vectors_); };
  const auto signs = [&](size_t segment) {
    const Segment& matrix = layout_.latents[segment];
    return SignMatrix(bits_, matrix.offset, matrix.shape[0], matrix.shape[1]);
  };
  // A leaf of autograd that shares the buffer's storage: what the optimizer writes into the buffer
  // is the layer's value at once, and nothing is copied between the two.
  const auto leaf = [&](size_t segment) {
    return vector(segment).detach().set_requires_grad(true);
  };

  for (size_t i = 0; i < slots.size(); ++i) {
    const LayerSegments& layer = layout_.layers[i];
    std::vector<SignPath> paths;
    for (const PathSegments& path : layer.paths) {
      paths.push_back({.U = signs(path.U),
                       .V = signs(path.V),
                       .u1 = vector(path.u1),
                       .u2 = vector(path.u2),
                       .v1 = vector(path.v1),
                       .v2 = vector(path.v2)});
    }
    auto linear = std::make_unique<LittleBitLinear>(plans[i].name, std::move(paths),
                                                    layer.bias ? leaf(*layer.bias) : at::Tensor(),
                                                    decoder.compute_dtype());
    layers_.push_back(linear.get());
    slots[i]->linear = std::move(linear);
  }
  for (size_t i = 0; i < parameters.size(); ++i) {
    // The student's norms begin as the teacher's. From here on the buffer is their only place.
    vector(layout_.parameters[i]).copy_(parameters[i]->value);
    parameters[i]->value = leaf(layout_.parameters[i]);
    parameters_.push_back(parameters[i]->value);
  }
}

void StudentGroup::set_signs(const Segment& matrix, const at::Tensor& latents) {
  LB_ASSERT(latents.sizes() == matrix.shape, "shape of a factor");
  const at::Tensor flat = latents.cpu().contiguous();
  // Matrices begin at multiples of kSegmentAlignment latents, so no two of them share a word, and
  // threads may set different layers at once.
  const at::Tensor stored = bits_.narrow(0, matrix.offset / 32, (matrix.numel + 31) / 32);
  const at::Tensor words = stored.cpu();  // itself, where it is there
  auto* word_data = reinterpret_cast<uint32_t*>(words.data_ptr<int32_t>());
  if (flat.scalar_type() == at::kDouble) {
    pack_signs(flat.const_data_ptr<double>(), matrix.numel, word_data);
  } else {
    pack_signs(flat.const_data_ptr<float>(), matrix.numel, word_data);
  }
  if (!words.is_alias_of(stored)) stored.copy_(words);
}

void StudentGroup::set_layer(size_t layer, const LayerFactors& factors, const at::Tensor& bias) {
  c10::NoGradGuard no_grad;
  const LayerSegments& where = layout_.layers[layer];
  const auto set_vector = [&](size_t segment, const at::Tensor& value) {
    layout_.vectors[segment].view(vectors_).copy_(value.reshape({-1}));
  };
  LB_ASSERT(factors.paths.size() == where.paths.size(), "number of paths");
  for (size_t p = 0; p < factors.paths.size(); ++p) {
    const FactorPath& path = factors.paths[p];
    // The latents' values stay with the optimizer; of a factor, the student keeps the signs.
    set_signs(layout_.latents[where.paths[p].V], path.V);
    set_signs(layout_.latents[where.paths[p].U], path.U);
    set_vector(where.paths[p].u1, path.u1);
    set_vector(where.paths[p].u2, path.u2);
    set_vector(where.paths[p].v1, path.v1);
    set_vector(where.paths[p].v2, path.v2);
  }
  if (where.bias) set_vector(*where.bias, bias);
}

void StudentGroup::visit_vectors(
    const std::function<void(VectorKind, const std::string&, const at::Tensor&)>& visit) const {
  for (const Segment& segment : layout_.vectors) {
    visit(layout_.kind(segment), segment.name, segment.view(vectors_));
  }
}

// The expansions of a group are collected and run together: on a GPU its dozens of matrices are
// then one launch.
void StudentGroup::materialize(bool differentiable) {
  if (layers_.empty()) return;
  SignExpansionList expansions(layers_[0]->compute_dtype());
  for (LittleBitLinear* layer : layers_) layer->materialize(differentiable, expansions);
  expansions.run();
}

std::vector<at::Tensor> StudentGroup::leaves() const {
  std::vector<at::Tensor> leaves;
  for (const LittleBitLinear* layer : layers_) {
    const LittleBitLinear::Weights& weights = layer->weights();
    leaves.insert(leaves.end(), {weights.w1, weights.w2, weights.l});
    if (weights.bias.defined()) leaves.push_back(weights.bias);
  }
  leaves.insert(leaves.end(), parameters_.begin(), parameters_.end());
  return leaves;
}

void StudentGroup::release() {
  for (LittleBitLinear* layer : layers_) layer->release();
}

Student::Student(Decoder open, std::span<const LayerPlan> plans) : decoder_(std::move(open)) {
  // Plans come for the whole model, groups take theirs in turn.
  size_t next = 0;
  for (int64_t group = 0; group < decoder_.num_groups(); ++group) {
    size_t slots = 0;
    decoder_.visit_linears(group, [&](LinearSlot&) { ++slots; });
    LB_ASSERT(next + slots <= plans.size(), "a plan for every slot");
    groups_.emplace_back(decoder_, group, plans.subspan(next, slots));
    next += slots;
  }
  LB_ASSERT(next == plans.size(), "a slot for every plan");
}

std::vector<LayerPlan> plan_model(Decoder& decoder, const QuantOptions& options) {
  std::vector<LayerPlan> plans;
  std::vector<std::string> failures;
  std::string hint;  // of the smallest layer: what serves it serves all
  int64_t smallest = std::numeric_limits<int64_t>::max();
  decoder.visit_linears([&](LinearSlot& slot) {
    // All layers that cannot be planned are reported at once.
    try {
      plans.push_back(plan_layer(slot.name, slot.d_in, slot.d_out, options));
    } catch (const UsageError& error) {
      failures.push_back(error.what());
      if (const int64_t size = std::min(slot.d_in, slot.d_out); size < smallest) {
        smallest = size;
        hint = error.hint();
      }
    }
  });
  if (!failures.empty()) throw UsageError(join(failures, "\n"), hint);
  return plans;
}

}  // namespace littlebit
