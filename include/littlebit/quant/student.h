// The student: a decoder whose linear slots are LittleBit layers. Holds what forward and backward
// need: sign bits, scales, biases and norms in flat buffers per parameter group (group_layout.h).
// Latents, moments and gradients live with the optimizer (optim).
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "littlebit/models/decoder.h"
#include "littlebit/quant/factorization.h"
#include "littlebit/quant/group_layout.h"
#include "littlebit/quant/littlebit_linear.h"

namespace littlebit {

class StudentGroup {
 public:
  // Lays out the group's open slots (ranks by `plans`, same order as visit_linears) and fills them
  // with LittleBit layers; the decoder's parameters become views of the vector buffer.
  StudentGroup(Decoder& decoder, int64_t group, std::span<const LayerPlan> plans);

  const GroupLayout& layout() const { return layout_; }
  const at::Tensor& bits() const { return bits_; }        // int32 [num_latents / 32]
  const at::Tensor& vectors() const { return vectors_; }  // [num_vectors], fp32 (fp64 in tests)
  const std::vector<LittleBitLinear*>& layers() const { return layers_; }

  // The signs of a layer's latents, its scales and its bias. Of several threads at once, each for a
  // layer of its own.
  void set_layer(size_t layer, const LayerFactors& factors, const at::Tensor& bias);
  void set_signs(const Segment& matrix, const at::Tensor& latents);  // of one matrix

  // Every scale, bias and norm in the order of the layout, as views of vectors().
  void visit_vectors(const std::function<void(VectorKind kind, const std::string& name,
                                              const at::Tensor& values)>& visit) const;

  // --- one backward pass through the group ---
  void materialize(bool differentiable);  // expands every layer's weights; parameters follow grad
                                          // mode
  // W1, W2, L(, bias) per layer, then norm parameters: what to differentiate by, and the order in
  // which optim/gradients.h takes the gradients.
  std::vector<at::Tensor> leaves() const;
  void release();  // frees the expanded weights

 private:
  GroupLayout layout_;
  at::Tensor bits_, vectors_;
  std::vector<LittleBitLinear*> layers_;
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
