// A decoder's tensors out of a Hugging Face folder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "littlebit/io/hf_folder.h"
#include "littlebit/models/decoder.h"

namespace littlebit {

// Whether the slots of blocks are filled.
enum class BlockSlots { kFilled, kOpen };

// The type in which a dense layer keeps its matrix: `compute`, but for bf16 that fp32 is multiplied
// by as it is (has_fast_mixed_products).
at::ScalarType weight_dtype(at::ScalarType stored, at::ScalarType compute, at::Device device);

// A dense decoder of a folder whose tensors are open. Weights already in their layers' type
// (weight_dtype) stay mapped: the folder must outlive the decoder. InputError: a missing, wrongly
// shaped or non-finite tensor, by name.
Decoder load_decoder(const HfFolder& folder, const ModelSpec& spec, at::ScalarType compute_dtype,
                     at::Device device, BlockSlots block_slots = BlockSlots::kFilled);

// The same without its linear layers: frozen tensors and parameters loaded, slots open. For a
// packed student, whose folder has no matrices.
Decoder load_open_decoder(const HfFolder& folder, const ModelSpec& spec,
                          at::ScalarType compute_dtype, at::Device device);

// The tensor that a TensorSource, a Parameter or FrozenNames call `name`, whatever the folder calls
// it; nullptr where there is none.
const TensorView* find_tensor(const HfFolder& folder, const std::string& name);

// InputError where tensor `name` of numbers is there in a quantised form only, under its own name
// or one of those that the usual tools give.
void refuse_quantised(const HfFolder& folder, const std::string& name);

// A slot's matrix [d_out, d_in] (bias [d_out], undefined where none) as the checkpoint has it.
at::Tensor load_slot_weight(const HfFolder& folder, const LinearSlot& slot, at::ScalarType dtype,
                            at::Device device);
at::Tensor load_slot_bias(const HfFolder& folder, const LinearSlot& slot, at::ScalarType dtype,
                          at::Device device);

// Elements [begin, begin + count) of a matrix or bias of `shape`, flat; no more is read.
at::Tensor load_elements(const HfFolder& folder, const TensorSource& source,
                         std::vector<int64_t> shape, int64_t begin, int64_t count,
                         at::ScalarType dtype, at::Device device);

// The rows that `source` names, mapped, in the type that the file has them in. InputError, by name,
// where the tensor is missing or `shape` is not theirs.
TensorView stored_tensor(const HfFolder& folder, const TensorSource& source,
                         std::vector<int64_t> shape);

}  // namespace littlebit
