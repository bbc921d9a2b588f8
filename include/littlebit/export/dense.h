// A student's effective weights as a plain Hugging Face folder.
#pragma once

#include <filesystem>

#include "littlebit/export/folder.h"
#include "littlebit/io/hf_folder.h"
#include "littlebit/quant/student.h"

namespace littlebit {

// The same model with dense matrices in `dtype` (fp32 or bf16) under the teacher's tensor names,
// fused matrices fused again. Loadable by Hugging Face transformers. Returns its bytes. `source` is
// the teacher's folder, or the packed folder that the student was loaded from.
ByteTable export_dense(const std::filesystem::path& folder, const Student& student,
                       at::ScalarType dtype, const HfFolder& source);

}  // namespace littlebit
