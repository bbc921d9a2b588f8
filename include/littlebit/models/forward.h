// A whole forward pass without autograd, everything kept: for comparisons and the `forward`
// command, not for training.
#pragma once

#include <ATen/core/Tensor.h>

#include "littlebit/models/decoder.h"

namespace littlebit {

// All fp32 (fp64 where the decoder computes in fp64).
struct ForwardResult {
  at::Tensor logits;        // [B, T, V]
  at::Tensor final_hidden;  // [B, T, E], what the head reads
  at::Tensor
      hidden_states;  // [L + 1, B, T, H]: the embedding's output, then each block's, the last one
                      // after the tail; where E != H only the first L. Undefined unless asked for.
};

// ids int32 or int64 [B, T], B and T at least 1. InputError: another type or shape, an id outside
// the vocabulary, more positions than the model has (only where it learned them one by one).
ForwardResult forward_full(const Decoder& decoder, const at::Tensor& ids_bt, bool hidden_states);

}  // namespace littlebit
