// Packed folders as they are read.
#pragma once

#include <memory>

#include "littlebit/io/hf_folder.h"
#include "littlebit/models/decoder.h"
#include "littlebit/quant/student.h"

namespace littlebit {

// Whether the folder holds a LittleBit model (littlebit_config.json, or packed tensors).
bool is_packed_folder(const HfFolder& folder);

// The model that config.json of a dense or packed folder describes; tensors are open.
ModelSpec folder_spec(const HfFolder& folder);

// A decoder of PackedLinear layers from a packed folder whose tensors are open (ours, the authors',
// legacy unpacked). Nothing dense is made: embeddings and a head in bf16 or small whole numbers
// stay mapped, so the folder must outlive the decoder. InputError by tensor name.
Decoder load_packed(const HfFolder& folder, at::ScalarType compute_dtype, at::Device device);

// The same as a student, for the dense export: its layers are those of training.
std::unique_ptr<Student> load_packed_student(const HfFolder& folder, at::ScalarType compute_dtype,
                                             at::Device device);

}  // namespace littlebit
