// The one decoder: embedding (with its scale, positions, project_in), blocks, tail (final norm,
// project_out), head. It obeys a ModelSpec; no family has code of its own here. Linear layers are
// slots: what fills them decides what the model is (dense teacher, LittleBit student). Every
// function is plain differentiable ATen.
//
// dtypes: the residual stream and all norms are fp32, inputs and weights of matrix products in the
// compute dtype (fp64 throughout where the compute dtype is fp64: tests). Hidden states follow
// Hugging Face.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "littlebit/io/hf_folder.h"
#include "littlebit/models/decoder_parts.h"
#include "littlebit/models/model_spec.h"

namespace littlebit {

// One of several sequences that stand side by side in a row and do not see each other.
struct SequencePart {
  int64_t length = 0;
  std::map<int64_t, at::Tensor> masks;  // by window as the spec has it: [length, length], what
                                        // masked_attention adds; empty: plainly causal
};

// Where the tokens of a call stand and what they see: made once, reused for every layer (and every
// batch of that shape). By default T tokens at positions 0 .. T - 1, causal. With parts, the one
// row [1, T] is divided into them. With a KeyValueCache the tokens stand behind those it holds.
struct SequenceContext {
  int64_t length = 0;  // T
  // [T, rotary_dim / 2], undefined where unused; with a cache of all positions, past and new.
  at::Tensor cos, sin, local_cos, local_sin;
  std::map<int64_t, at::Tensor> bands;  // by window: causal_band(T, window), those in use
  std::vector<SequencePart> parts;
  // With a cache that holds something, by window as the spec has it: [T, keys in sight], what
  // masked_attention adds; undefined: every new token sees all of them.
  std::map<int64_t, at::Tensor> masks;
};

class KeyValueCache;  // incremental.h

class Decoder {
 public:
  // `parts`: those of the spec, named (architectures.h has both in one: empty_decoder).
  Decoder(ModelSpec spec, DecoderParts parts, at::ScalarType compute_dtype, at::Device device);
  Decoder(Decoder&&) noexcept = default;

  const ModelSpec& spec() const { return spec_; }
  at::ScalarType compute_dtype() const { return compute_dtype_; }
  at::ScalarType residual_dtype() const;  // fp32; fp64 where the compute dtype is fp64
  at::Device device() const { return device_; }

  // length <= spec().max_positions is the caller's business
  SequenceContext context(int64_t length) const;
  // The rotation tables alone, of `positions` positions as a sequence of `length` tokens has them.
  SequenceContext rotation_tables(int64_t positions, int64_t length) const;

  // int64 [B,T] -> [B,T,H]. `positions`: int64 [T], where the tokens stand; undefined: 0 .. T - 1.
  at::Tensor embedding_forward(const at::Tensor& ids_bt, const at::Tensor& positions = {}) const;
  // `cache`: keys and values of earlier positions; the new ones' are added to it (B = 1, no grad).
  at::Tensor block_forward(int64_t layer, const at::Tensor& x_bth, const SequenceContext& context,
                           KeyValueCache* cache = nullptr) const;
  at::Tensor tail_forward(const at::Tensor& x_bth) const;  // -> [B,T,E], what the head reads
  at::Tensor head_forward(
      const at::Tensor& z) const;  // [..., E] -> logits [..., V], soft-capped; residual dtype

  // Blocks then hold their matrices while they run only, and run one at a time, without autograd.
  void set_block_source(std::unique_ptr<BlockSource> source) { block_source_ = std::move(source); }
  // Whether block_forward is a collective call: all processes make the same calls in the same order
  // (of any shapes), or none.
  bool is_collective() const { return block_source_ != nullptr && block_source_->is_collective(); }

  // Parameter groups: 0 = embedding, 1..L = blocks, L+1 = tail. Whoever fills slots and parameters
  // does it here: used ones in a fixed order.
  int64_t num_groups() const { return spec_.num_layers + 2; }
  void visit_linears(int64_t group, const std::function<void(LinearSlot&)>& visit);
  void visit_parameters(int64_t group, const std::function<void(Parameter&)>& visit);
  void visit_linears(const std::function<void(LinearSlot&)>& visit);  // all groups in order
  void visit_parameters(const std::function<void(Parameter&)>& visit);

  const DecoderParts& parts() const { return parts_; }
  const LinearSlot& head() const { return parts_.head; }
  void set_head(std::shared_ptr<Linear> linear) { parts_.head.linear = std::move(linear); }
  const FrozenTensors& frozen() const { return frozen_; }
  void set_frozen(FrozenTensors tensors) { frozen_ = std::move(tensors); }

 private:
  ModelSpec spec_;
  DecoderParts parts_;
  FrozenTensors frozen_;
  at::ScalarType compute_dtype_;
  at::Device device_;
  std::unique_ptr<BlockSource> block_source_;
};

// A decoder for a student: shares `teacher`'s frozen tensors, has its parameters as copies, its
// slots open.
Decoder open_decoder(const Decoder& teacher);

}  // namespace littlebit
