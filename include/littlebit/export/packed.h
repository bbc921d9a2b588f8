// A student in the authors' packed format (specs section 7), with config.json and the tokenizer
// files of the teacher; of a multimodal teacher, those of its text model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "littlebit/export/folder.h"
#include "littlebit/export/stored_rows.h"
#include "littlebit/io/hf_folder.h"
#include "littlebit/quant/student.h"

namespace littlebit {

struct PackedExport {
  std::filesystem::path folder;
  ByteTable bytes;          // of the export
  ByteTable teacher_bytes;  // of the checkpoint it came from, as stored there
  double formula_bits = 0;  // per weight of the linear layers: the authors' figure over all layers
  double stored_bits =
      0;  // per weight of the linear layers: words with padding, scales and biases really written
  std::vector<GroupedMatrix> grouped;
};

// Writes `folder` (published atomically; an older one of that name is replaced). The tensor files
// of `teacher` are open; plans are in the order of the student's layers. OutputError where it
// cannot be written.
PackedExport export_packed(const std::filesystem::path& folder, const Student& student,
                           std::span<const LayerPlan> plans, const QuantOptions& options,
                           const HfFolder& teacher, const RowFormats& formats = {});

// Reads a packed folder back and compares every tensor with the student's in its stored form;
// returns how many tensors were compared. InputError naming the first that differs.
int64_t verify_packed(const std::filesystem::path& folder, const Student& student,
                      std::span<const LayerPlan> plans, const RowFormats& formats = {});

}  // namespace littlebit
