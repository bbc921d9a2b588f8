// The whole forward pass on given ids: checked first, then embedding, blocks, tail and head,
// without autograd.
#include "littlebit/models/forward.h"

#include <ATen/ops/aminmax.h>
#include <ATen/ops/stack.h>
#include <c10/core/GradMode.h>

#include "checks.h"
#include "littlebit/core/error.h"

namespace littlebit {
namespace {

void check_ids(const Decoder& decoder, const at::Tensor& ids) {
  if (ids.scalar_type() != at::kInt && ids.scalar_type() != at::kLong) {
    throw InputError(std::string("token ids are ") + c10::toString(ids.scalar_type()) +
                     ", expected int32 or int64");
  }
  if (ids.dim() != 2 || ids.numel() == 0) {
    throw InputError("token ids have shape " + shape_text(ids.sizes()) +
                     ", expected [batch, positions] with at least one of each");
  }
  const auto [low, high] = at::aminmax(ids);
  check_id_range(decoder.spec(), low.item<int64_t>(), high.item<int64_t>());
  check_length(decoder.spec(), ids.size(1));
}

}  // namespace

ForwardResult forward_full(const Decoder& decoder, const at::Tensor& ids_bt, bool hidden_states) {
  const c10::AutoGradMode no_grad(false);
  check_ids(decoder, ids_bt);
  const ModelSpec& spec = decoder.spec();
  const SequenceContext context = decoder.context(ids_bt.size(1));
  std::vector<at::Tensor> kept;
  at::Tensor x = decoder.embedding_forward(ids_bt.to(decoder.device(), at::kLong));
  for (int64_t layer = 0; layer < spec.num_layers; ++layer) {
    if (hidden_states) kept.push_back(x);
    x = decoder.block_forward(layer, x, context);
  }
  ForwardResult result;
  result.final_hidden = decoder.tail_forward(x);
  if (hidden_states) {
    if (spec.embedding_size == spec.hidden_size) kept.push_back(result.final_hidden);
    result.hidden_states = at::stack(kept);
  }
  result.logits = decoder.head_forward(result.final_hidden);
  return result;
}

}  // namespace littlebit
