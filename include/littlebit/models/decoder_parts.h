// What a decoder is made of: places for linear layers, parameters that train by themselves, frozen
// tensors. Every part knows its name and where a checkpoint has it; a part that a model does not
// have says so (used()).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "littlebit/models/model_spec.h"
#include "littlebit/nn/linear.h"
#include "littlebit/ops/grouped_rows.h"

namespace littlebit {

// Where a slot's matrix (or a parameter) comes from: rows [row_begin, row_end) of a tensor (all
// rows: 0, -1). Where a part is taken, `rows` says how many rows the whole tensor has.
struct TensorSource {
  std::string tensor;
  int64_t row_begin = 0, row_end = -1, rows = -1;
};

// A linear layer's place. `name` is the module's Hugging Face name
// ("model.layers.0.self_attn.q_proj"), for split fused matrices the name the part would have.
// linear == nullptr: open. The decoders of a teacher and its student have their head in common.
struct LinearSlot {
  std::string name;
  int64_t d_in = 0, d_out = 0;
  bool has_bias = false;
  TensorSource weight, bias;
  std::shared_ptr<Linear> linear;

  bool used() const { return d_out > 0; }
};

// The matrix of a slot that a DenseLinear fills.
const at::Tensor& dense_weight(const LinearSlot& slot);

// A vector that trains by itself: norm weight or bias, fp32 (fp64 in tests).
struct Parameter {
  std::string name;
  TensorSource source;
  at::Tensor value;  // [size]
  int64_t size = 0;

  bool used() const { return !name.empty(); }
};

struct Norm {
  Parameter weight, bias;  // bias: LayerNorm only; both unused: no norm here
};

// Beside the embedding: OPT's projection of narrower embeddings.
struct EmbeddingParts {
  LinearSlot project_in;
};
struct Block {
  LinearSlot q, k, v, o, gate, up, gate_up, down;
  // norm_first false: input_norm and pre_mlp_norm follow the residual sums of attention and MLP.
  Norm input_norm, post_attention_norm, pre_mlp_norm, post_mlp_norm, q_norm, k_norm;
};
struct Tail {
  Norm final_norm;
  LinearSlot project_out;
};

// Tensor names, "" where the model has no such tensor.
struct FrozenNames {
  std::string embedding, positions;
};

// All slots and parameters of a decoder. Embedding parts, each block and the tail are the parameter
// groups of training.
struct DecoderParts {
  FrozenNames frozen_names;
  EmbeddingParts embedding;
  std::vector<Block> blocks;
  Tail tail;
  // Frozen, of no group, never factorised, and the teacher's is the student's. A tied one is named,
  // too: files may hold it again. Its matrix has the compute dtype; load_open_decoder leaves one in
  // bf16 as it is.
  LinearSlot head;
};

// Those that `spec` uses, sized, open and empty; without names, which an architecture gives
// (architectures.h).
DecoderParts open_parts(const ModelSpec& spec);

// Brings the matrices of a decoder's blocks that are not in their slots all the time.
class BlockSource {
 public:
  virtual ~BlockSource() = default;

  // From here to release() the layer's slots hold their matrices. One block at a time; the next one
  // is usually the layer behind it.
  virtual void acquire(int64_t layer) = 0;
  virtual void release(int64_t layer) = 0;

  // Whether all processes of a run have to acquire the same blocks in the same order.
  virtual bool is_collective() const = 0;
};

// Frozen tensors, shared between teacher and student, as they are stored (mapped; rows are
// converted when they are looked up). An embedding that is the head's matrix, too, has the dtype of
// that.
struct FrozenTensors {
  at::Tensor embedding;  // [V, E]; undefined where a packed folder has it in groups:
  std::optional<GroupedRows> grouped_embedding;
  at::Tensor positions;  // [P, H] or undefined
};

}  // namespace littlebit
