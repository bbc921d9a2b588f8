// eval.batch_size resolved for a loaded model.
#pragma once

#include <cstdint>
#include <string>

#include "littlebit/eval/batch_sharing.h"
#include "littlebit/eval/batch_size.h"
#include "littlebit/models/decoder.h"

namespace littlebit {

// Bytes that a token of a sequence of `length` takes in a forward pass without gradients, above the
// weights: the wider of attention and MLP.
int64_t forward_bytes_per_token(const ModelSpec& spec, int64_t element_bytes, int64_t length);

// Of `option` as checked by check_amounts(): the number, or for `auto` as many tokens as fit into
// half of the memory that the decoder's device has free, for sequences of up to `length` tokens.
// Then collective among the processes of `sharing`: the least of them counts.
BatchSize settled_batch(const std::string& option, const Decoder& decoder, int64_t length,
                        const BatchSharing& sharing);

}  // namespace littlebit
