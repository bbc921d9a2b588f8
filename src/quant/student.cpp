// The layout of a group's flat buffers, the views that layers, biases and norms are into them, and
// the sums of gradients in the same layout.
#include "littlebit/quant/student.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <limits>

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/kernels/signs.h"

namespace littlebit {
namespace {

constexpr int64_t kAlignment = 128;  // latents: shard borders and matrices start at multiples of it

int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

size_t append(std::vector<Segment>& segments, int64_t& end, std::string name,
              std::vector<int64_t> shape, int64_t alignment) {
  int64_t numel = 1;
  for (const int64_t size : shape) numel *= size;
  segments.push_back({std::move(name), std::move(shape), end, numel});
  end = round_up(end + numel, alignment);
  return segments.size() - 1;
}

// segment += value, in the segment's dtype.
void add_to(const at::Tensor& segment, const at::Tensor& value) {
  segment.add_(value.to(segment.scalar_type()));
}

}  // namespace

at::Tensor Segment::view(const at::Tensor& flat) const {
  return flat.narrow(0, offset, numel).view(shape);
}

StudentGroup::StudentGroup(Decoder& decoder, int64_t group, std::span<const LayerPlan> plans) {
  std::vector<LinearSlot*> slots;
  std::vector<Parameter*> parameters;
  decoder.visit_linears(group, [&](LinearSlot& slot) { slots.push_back(&slot); });
  decoder.visit_parameters(group, [&](Parameter& parameter) { parameters.push_back(&parameter); });
  LB_ASSERT(slots.size() == plans.size(), "one plan per slot");

  // Layout first: scales of all layers, then what takes no weight decay.
  segments_.resize(slots.size());
  for (size_t i = 0; i < slots.size(); ++i) {
    const LayerPlan& plan = plans[i];
    LB_ASSERT(plan.name == slots[i]->name, "plans in the order of the slots");
    LayerSegments& where = segments_[i];
    const auto suffix = [](int path) { return path == 0 ? "" : "_R"; };
    for (int p = 0; p < plan.paths; ++p) {
      where.V.push_back(append(layout_.latents, layout_.num_latents, plan.name + ".V" + suffix(p),
                               {plan.rank, plan.d_in}, kAlignment));
    }
    for (int p = 0; p < plan.paths; ++p) {
      where.U.push_back(append(layout_.latents, layout_.num_latents, plan.name + ".U" + suffix(p),
                               {plan.d_out, plan.rank}, kAlignment));
    }
    for (int p = 0; p < plan.paths; ++p) {
      const auto vector = [&](const char* name, int64_t size) {
        return append(layout_.vectors, layout_.num_vectors, plan.name + name + suffix(p), {size},
                      1);
      };
      where.u1.push_back(vector(".u1", plan.d_out));
      where.u2.push_back(vector(".u2", plan.rank));
      where.v1.push_back(vector(".v1", plan.rank));
      where.v2.push_back(vector(".v2", plan.d_in));
    }
  }
  layout_.num_scales = layout_.num_vectors;
  for (size_t i = 0; i < slots.size(); ++i) {
    if (!slots[i]->has_bias) continue;
    segments_[i].bias = static_cast<int64_t>(append(
        layout_.vectors, layout_.num_vectors, slots[i]->name + ".bias", {slots[i]->d_out}, 1));
  }
  for (Parameter* parameter : parameters) {
    parameter_segments_.push_back(append(layout_.vectors, layout_.num_vectors, parameter->name,
                                         parameter->value.sizes().vec(), 1));
  }

  const auto options = at::TensorOptions().dtype(decoder.residual_dtype()).device(decoder.device());
  bits_ = at::zeros({layout_.num_latents / 32}, options.dtype(at::kInt));
  vectors_ = at::zeros({layout_.num_vectors}, options);
  const auto vector = [&](size_t segment) { return layout_.vectors[segment].view(vectors_); };
  // A leaf that shares the buffer's storage.
  const auto leaf = [&](size_t segment) {
    return vector(segment).detach().set_requires_grad(true);
  };

  for (size_t i = 0; i < slots.size(); ++i) {
    const LayerPlan& plan = plans[i];
    std::vector<SignPath> paths;
    for (int p = 0; p < plan.paths; ++p) {
      paths.push_back(
          {.U = SignMatrix(bits_, layout_.latents[segments_[i].U[p]].offset, plan.d_out, plan.rank),
           .V = SignMatrix(bits_, layout_.latents[segments_[i].V[p]].offset, plan.rank, plan.d_in),
           .u1 = vector(segments_[i].u1[p]),
           .u2 = vector(segments_[i].u2[p]),
           .v1 = vector(segments_[i].v1[p]),
           .v2 = vector(segments_[i].v2[p])});
    }
    const at::Tensor bias = segments_[i].bias >= 0 ? leaf(segments_[i].bias) : at::Tensor();
    auto layer = std::make_unique<LittleBitLinear>(plan.name, std::move(paths), bias,
                                                   decoder.compute_dtype());
    layers_.push_back(layer.get());
    slots[i]->linear = std::move(layer);
  }
  for (size_t i = 0; i < parameters.size(); ++i) {
    vector(parameter_segments_[i]).copy_(parameters[i]->value);
    parameters[i]->value = leaf(parameter_segments_[i]);
    parameters_.push_back(parameters[i]->value);
  }
}

void StudentGroup::set_layer(size_t layer, const LayerFactors& factors, const at::Tensor& bias,
                             const at::Tensor& latents) {
  c10::NoGradGuard no_grad;
  const LayerSegments& where = segments_[layer];
  const auto set_vector = [&](size_t segment, const at::Tensor& value) {
    layout_.vectors[segment].view(vectors_).copy_(value.reshape({-1}));
  };
  const auto set_matrix = [&](size_t index, const at::Tensor& value) {
    const Segment& segment = layout_.latents[index];
    LB_ASSERT(value.sizes() == segment.shape, "shape of a factor");
    if (latents.defined()) segment.view(latents).copy_(value);
    const at::Tensor flat = value.cpu().contiguous();
    at::Tensor words = bits_.narrow(0, segment.offset / 32, (segment.numel + 31) / 32).cpu();
    uint32_t* word_data = reinterpret_cast<uint32_t*>(words.data_ptr<int32_t>());
    if (flat.scalar_type() == at::kDouble) {
      pack_signs(flat.const_data_ptr<double>(), segment.numel, word_data);
    } else {
      pack_signs(flat.const_data_ptr<float>(), segment.numel, word_data);
    }
    if (!bits_.is_cpu()) bits_.narrow(0, segment.offset / 32, words.numel()).copy_(words);
  };
  LB_ASSERT(factors.paths.size() == where.U.size(), "number of paths");
  for (size_t p = 0; p < factors.paths.size(); ++p) {
    const FactorPath& path = factors.paths[p];
    set_matrix(where.V[p], path.V);
    set_matrix(where.U[p], path.U);
    set_vector(where.u1[p], path.u1);
    set_vector(where.u2[p], path.u2);
    set_vector(where.v1[p], path.v1);
    set_vector(where.v2[p], path.v2);
  }
  if (where.bias >= 0) set_vector(where.bias, bias);
}

void StudentGroup::materialize(bool differentiable) {
  for (LittleBitLinear* layer : layers_) layer->materialize(differentiable);
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

void StudentGroup::zero_gradients() {
  if (!latent_gradients_.defined()) return;
  latent_gradients_.zero_();
  vector_gradients_.zero_();
}

// Until finish_gradients() the u2 segments hold dLoss/dL and the u1, v1, v2 segments zero.
void StudentGroup::accumulate(const std::vector<at::Tensor>& leaf_gradients) {
  c10::NoGradGuard no_grad;
  if (!latent_gradients_.defined()) {
    latent_gradients_ = at::zeros({layout_.num_latents}, vectors_.options());
    vector_gradients_ = at::zeros({layout_.num_vectors}, vectors_.options());
  }
  const auto latent = [&](size_t segment) {
    return layout_.latents[segment].view(latent_gradients_);
  };
  const auto vector = [&](size_t segment) {
    return layout_.vectors[segment].view(vector_gradients_);
  };
  size_t next = 0;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const LayerSegments& where = segments_[i];
    const at::Tensor &g1 = leaf_gradients[next], &g2 = leaf_gradients[next + 1],
                     &gl = leaf_gradients[next + 2];
    next += 3;
    const int64_t r = layers_[i]->rank();
    for (size_t p = 0; p < where.U.size(); ++p) {
      const int64_t first = static_cast<int64_t>(p) * r;
      if (g1.defined()) add_to(latent(where.V[p]), g1.narrow(0, first, r));
      if (g2.defined()) add_to(latent(where.U[p]), g2.narrow(1, first, r));
      if (gl.defined()) add_to(vector(where.u2[p]), gl.narrow(0, first, r));
    }
    if (where.bias >= 0) {
      if (leaf_gradients[next].defined()) add_to(vector(where.bias), leaf_gradients[next]);
      ++next;
    }
  }
  for (const size_t segment : parameter_segments_) {
    if (leaf_gradients[next].defined()) add_to(vector(segment), leaf_gradients[next]);
    ++next;
  }
  LB_ASSERT(next == leaf_gradients.size(), "one gradient per leaf");
}

void StudentGroup::finish_gradients() {
  c10::NoGradGuard no_grad;
  if (!latent_gradients_.defined()) return;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const LayerSegments& where = segments_[i];
    for (size_t p = 0; p < where.U.size(); ++p) {
      const SignPath& path = layers_[i]->paths()[p];
      const auto vector = [&](size_t segment) {
        return layout_.vectors[segment].view(vector_gradients_);
      };
      const at::Tensor g1 = layout_.latents[where.V[p]].view(latent_gradients_);  // [r, d_in]
      const at::Tensor g2 = layout_.latents[where.U[p]].view(latent_gradients_);  // [d_out, r]
      at::Tensor signs = at::empty_like(g1);
      path.V.expand_into(signs, {}, {});
      vector(where.v2[p]).copy_(signs.mul_(g1).sum(0));
      signs = at::empty_like(g2);
      path.U.expand_into(signs, {}, {});
      vector(where.u1[p]).copy_(signs.mul_(g2).sum(1));
      g1.mul_(path.v2);
      g2.mul_(path.u1.unsqueeze(1));
      const at::Tensor dl = vector(where.u2[p]);
      vector(where.v1[p]).copy_(dl * path.u2);
      dl.mul_(path.v1);
    }
  }
}

Student::Student(Decoder open, std::span<const LayerPlan> plans) : decoder_(std::move(open)) {
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
