// Which parts a spec uses, and their sizes: the same for all families.
#include "littlebit/models/decoder_parts.h"

#include "littlebit/core/error.h"

namespace littlebit {
namespace {

LinearSlot open_slot(int64_t d_in, int64_t d_out, bool has_bias) {
  LinearSlot slot;
  slot.d_in = d_in;
  slot.d_out = d_out;
  slot.has_bias = has_bias;
  return slot;
}

Block open_block(const ModelSpec& spec) {
  const int64_t hidden = spec.hidden_size, inner = spec.intermediate_size;
  const int64_t q_size = spec.num_heads * spec.head_dim,
                kv_size = spec.num_kv_heads * spec.head_dim;
  Block block;
  block.q = open_slot(hidden, q_size, spec.q_bias);
  block.k = open_slot(hidden, kv_size, spec.k_bias);
  block.v = open_slot(hidden, kv_size, spec.v_bias);
  block.o = open_slot(q_size, hidden, spec.o_bias);
  if (spec.fused_gate_up) {
    block.gate_up = open_slot(hidden, 2 * inner, spec.mlp_bias);
  } else {
    if (spec.gated_mlp) block.gate = open_slot(hidden, inner, spec.mlp_bias);
    block.up = open_slot(hidden, inner, spec.mlp_bias);
  }
  block.down = open_slot(inner, hidden, spec.mlp_bias);
  return block;
}

}  // namespace

const at::Tensor& dense_weight(const LinearSlot& slot) {
  const auto* dense = dynamic_cast<const DenseLinear*>(slot.linear.get());
  LB_ASSERT(dense != nullptr, slot.name + " is dense");
  return dense->weight();
}

DecoderParts open_parts(const ModelSpec& spec) {
  DecoderParts parts;
  parts.blocks.reserve(spec.num_layers);
  for (int64_t layer = 0; layer < spec.num_layers; ++layer) {
    parts.blocks.push_back(open_block(spec));
  }
  if (spec.embedding_size != spec.hidden_size) {
    parts.embedding.project_in = open_slot(spec.embedding_size, spec.hidden_size, false);
    parts.tail.project_out = open_slot(spec.hidden_size, spec.embedding_size, false);
  }
  parts.head = open_slot(spec.embedding_size, spec.vocab_size, /*has_bias=*/false);
  return parts;
}

}  // namespace littlebit
