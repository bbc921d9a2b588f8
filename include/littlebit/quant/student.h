// The student: a decoder whose linear slots are LittleBit layers, its trainables laid out in flat
// buffers per parameter group (stem, blocks, tail), and the gradients of one optimizer step.
//
// Latents live elsewhere (optim): forward and backward read sign bits and scales only. Buffers per
// group:
//   latents  every layer's V, V_R, U, U_R in order, each matrix starting at a multiple of 128
//   (padding holds zeros);
//            bits[i / 32] bit i % 32 is the sign of latent i
//   vectors  scales (u1 u2 v1 v2 per path), then biases, then norm parameters
// Names are the authors': "<layer>.U", "<layer>.u1_R", "<layer>.bias", "model.norm.weight".
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "littlebit/models/decoder.h"
#include "littlebit/quant/factorization.h"
#include "littlebit/quant/littlebit_linear.h"

namespace littlebit {

// One tensor inside a flat buffer.
struct Segment {
  std::string name;
  std::vector<int64_t> shape;
  int64_t offset = 0;
  int64_t numel = 0;

  at::Tensor view(
      const at::Tensor& flat) const;  // the segment of `flat` in its shape, shared storage
};

struct GroupLayout {
  std::vector<Segment> latents, vectors;
  int64_t num_latents = 0;  // with padding; a multiple of 128
  int64_t num_vectors = 0;
  int64_t num_scales = 0;  // the first of the vectors: what weight decay acts on
};

class StudentGroup {
 public:
  // Lays out the group's open slots (ranks by `plans`, same order as visit_linears) and fills them
  // with LittleBit layers; the decoder's parameters become views of the vector buffer.
  StudentGroup(Decoder& decoder, int64_t group, std::span<const LayerPlan> plans);

  const GroupLayout& layout() const { return layout_; }
  const at::Tensor& bits() const { return bits_; }        // int32 [num_latents / 32]
  const at::Tensor& vectors() const { return vectors_; }  // [num_vectors], fp32 (fp64 in tests)
  const std::vector<LittleBitLinear*>& layers() const { return layers_; }

  // Scales and bias into the vector buffer; latents into `latents` (flat, where defined) and their
  // signs into the bits.
  void set_layer(size_t layer, const LayerFactors& factors, const at::Tensor& bias,
                 const at::Tensor& latents);

  // --- one backward pass through the group ---
  void materialize(
      bool differentiable);  // expands every layer's weights; parameters follow grad mode
  std::vector<at::Tensor> leaves()
      const;  // W1, W2, L(, bias) per layer, then norm parameters: what to differentiate by
  void accumulate(const std::vector<at::Tensor>&
                      leaf_gradients);  // adds into the raw gradient buffers; same order
  void release();                       // frees the expanded weights

  // --- once per optimizer step, after the last accumulate ---
  // Turns dLoss/d(W1, W2, L) into dLoss/d(sign(U), sign(V), u1, u2, v1, v2) in place (specs section
  // 1). What remains for the owner of the latents is the surrogate's derivative.
  void finish_gradients();
  at::Tensor& latent_gradients() {
    return latent_gradients_;
  }  // [num_latents], undefined before the first accumulate
  at::Tensor& vector_gradients() { return vector_gradients_; }
  void zero_gradients();

 private:
  struct LayerSegments {
    std::vector<size_t> U, V;            // index into layout_.latents, per path
    std::vector<size_t> u1, u2, v1, v2;  // index into layout_.vectors, per path
    int64_t bias = -1;
  };
  GroupLayout layout_;
  at::Tensor bits_, vectors_, latent_gradients_, vector_gradients_;
  std::vector<LittleBitLinear*> layers_;
  std::vector<LayerSegments> segments_;
  std::vector<size_t> parameter_segments_;
  std::vector<at::Tensor> parameters_;
};

class Student {
 public:
  // Fills every open slot of `open` (open_decoder beside a teacher, or load_open_decoder) as
  // planned. Scales and bits are zero until set. `plans` in the order of Decoder::visit_linears.
  Student(Decoder open, std::span<const LayerPlan> plans);

  Decoder& decoder() { return decoder_; }
  const Decoder& decoder() const { return decoder_; }
  std::vector<StudentGroup>& groups() { return groups_; }
  const std::vector<StudentGroup>& groups() const { return groups_; }

 private:
  Decoder decoder_;
  std::vector<StudentGroup> groups_;
};

// The plan of every linear layer of a decoder, in visit order. UsageError listing every layer that
// cannot be planned.
std::vector<LayerPlan> plan_model(Decoder& decoder, const QuantOptions& options);

}  // namespace littlebit
