// Exports and what is printed about them: at the end of a run, and by the command.
#pragma once

#include <filesystem>
#include <span>

#include "littlebit/export/packed.h"
#include "littlebit/export/stored_rows.h"
#include "littlebit/train/options.h"

namespace littlebit {

// What export.embeddings, export.head and export.group_size come to for a model. UsageError where
// embedding and head are one matrix and the two contradict each other.
RowFormats row_formats(const ExportOptions& options, bool tied);

// Writes the packed folder, reads it back and compares; prints its bytes by part.
PackedExport write_packed(const std::filesystem::path& folder, const Student& student,
                          std::span<const LayerPlan> plans, const QuantOptions& quant,
                          const ExportOptions& options, const HfFolder& teacher);

// Writes the dense folder in export.dense_dtype.
void write_dense(const std::filesystem::path& folder, const Student& student,
                 const ExportOptions& options, const HfFolder& source);

// Writes the folder for OneCompression's plugin, reads it back and compares.
void write_dbf(const std::filesystem::path& folder, const Student& student, const HfFolder& source);

}  // namespace littlebit
