// Cross-entropies of predicted ids, with logits of a few rows at a time.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "littlebit/models/decoder.h"

namespace littlebit {

// Embedding, blocks and tail: ids int64 [B, T] -> what the head reads, [B, T, E].
at::Tensor final_hidden_states(const Decoder& decoder, const SequenceContext& context,
                               const at::Tensor& ids_bt);

// -log p of `targets` int64 [N] after `rows` [N, E], in nats, fp64 [N]. Logits exist for a few
// hundred rows at a time.
at::Tensor token_nll(const Decoder& decoder, const at::Tensor& rows, const at::Tensor& targets);

// InputError naming the first of `ids` that a vocabulary of `vocab_size` lacks.
void check_text_ids(std::span<const int32_t> ids, int64_t vocab_size);

}  // namespace littlebit
