// Cross-entropies of rows, some rows at a time: logits at any time fit into 32 MiB, or are 64 rows
// where the vocabulary is very large.
#include "token_nll.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/log_softmax.h>

#include <algorithm>

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"

namespace littlebit {
namespace {

constexpr int64_t kLogits = 1 << 23;  // at a time: 32 MiB
constexpr int64_t kMinRows = 64, kMaxRows = 1024;

}  // namespace

at::Tensor final_hidden_states(const Decoder& decoder, const SequenceContext& context,
                               const at::Tensor& ids_bt) {
  at::Tensor x = decoder.embedding_forward(ids_bt);
  for (int64_t layer = 0; layer < decoder.spec().num_layers; ++layer) {
    x = decoder.block_forward(layer, x, context);
  }
  return decoder.tail_forward(x);
}

at::Tensor token_nll(const Decoder& decoder, const at::Tensor& rows, const at::Tensor& targets) {
  const int64_t at_a_time =
      std::clamp(kLogits / std::max<int64_t>(1, decoder.spec().vocab_size), kMinRows, kMaxRows);
  // Logits and log-softmax in fp32; what is summed afterwards, in fp64.
  at::Tensor scores = at::empty({rows.size(0)}, rows.options().dtype(at::kDouble));
  for (int64_t first = 0; first < rows.size(0); first += at_a_time) {
    const int64_t count = std::min(at_a_time, rows.size(0) - first);
    const at::Tensor log_p =
        at::log_softmax(decoder.head_forward(rows.narrow(0, first, count)), -1);
    // Of a row's log-probabilities the one of the token that came.
    scores.narrow(0, first, count)
        .copy_(log_p.gather(1, targets.narrow(0, first, count).unsqueeze(1)).squeeze(1));
  }
  return scores.neg_();
}

void check_text_ids(std::span<const int32_t> ids, int64_t vocab_size) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] < vocab_size) continue;
    throw InputError("token " + format_count(static_cast<int64_t>(i)) + " of the text is id " +
                         std::to_string(ids[i]) + ", the model knows 0 to " +
                         std::to_string(vocab_size - 1),
                     "use the tokenizer that belongs to the model");
  }
}

}  // namespace littlebit
