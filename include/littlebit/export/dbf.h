// A student for inference with vLLM.
#pragma once

#include <cstdint>
#include <filesystem>

#include "littlebit/export/folder.h"
#include "littlebit/io/hf_folder.h"
#include "littlebit/quant/student.h"

namespace littlebit {

// In the layout of OneCompression's vLLM plugin for double binary factors (docs/formats.md): signs
// bit by bit, scales in fp16, all else in bf16. The plugin computes ranks from bits that layers run
// together share: those of lower rank get latent dimensions of scale 0.
struct DbfExport {
  ByteTable bytes;
  double stored_bits = 0;     // per weight of the linear layers: signs, scales and biases
  int64_t padded_layers = 0;  // with such dimensions
  int64_t tensors = 0;        // that were read back and compared
};
DbfExport export_dbf(const std::filesystem::path& folder, const Student& student,
                     const HfFolder& source);

// UsageError where the layout cannot hold such a model: two paths, layers outside of the blocks or
// with two matrices in one.
void require_dbf(const ModelSpec& spec, int paths);

}  // namespace littlebit
