// Exports and the lines about them. A packed export is read back and compared before it is called
// done.
#include "export_model.h"

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/device/device.h"
#include "littlebit/export/dbf.h"
#include "littlebit/export/dense.h"
#include "littlebit/export/folder.h"
#include "littlebit/export/packed.h"
#include "littlebit/export/stored_rows.h"
#include "littlebit/logging/console.h"
#include "littlebit/logging/table.h"

namespace littlebit {
namespace {

void print_bytes(const ByteTable& packed, const ByteTable& teacher) {
  Table table({"part", "teacher", "packed"});
  const auto row = [&](const char* name, uint64_t before, uint64_t after) {
    if (before || after) table.add({name, format_bytes(before), format_bytes(after)});
  };
  row("linear layers", teacher.linears, 0);
  row("signs", 0, packed.signs);
  row("scales", 0, packed.scales);
  row("biases", teacher.biases, packed.biases);
  row("norms", teacher.norms, packed.norms);
  row("embeddings", teacher.embeddings, packed.embeddings);
  row("head", teacher.head, packed.head);
  row("other", teacher.other, packed.other);
  row("total", teacher.total(), packed.total());
  table.print();
}

void print_grouped(const GroupedMatrix& matrix) {
  log_info(matrix.part + ": int" + std::to_string(matrix.bits) + " in groups of " +
           std::to_string(matrix.group_size) + ", " + format_fixed(matrix.stored_bits, 2) +
           " bits a number with their scales, relative error " +
           format_digits(matrix.relative_error, 3));
}

const char* name_of(ExportedRows rows) {
  return rows == ExportedRows::kInt8 ? "int8" : rows == ExportedRows::kInt4 ? "int4" : "bf16";
}

RowFormat format_of(ExportedRows rows) {
  return rows == ExportedRows::kInt8   ? RowFormat::kInt8
         : rows == ExportedRows::kInt4 ? RowFormat::kInt4
                                       : RowFormat::kBf16;
}

}  // namespace

RowFormats row_formats(const ExportOptions& options, bool tied) {
  ExportedRows embeddings = options.embeddings, head = options.head;
  if (tied) {
    if (embeddings == ExportedRows::kAuto) embeddings = head;
    if (head == ExportedRows::kAuto) head = embeddings;
    if (embeddings != head) {
      throw UsageError(std::string("export.embeddings is ") + name_of(embeddings) +
                           " and export.head " + name_of(head) +
                           ", but embedding and head of this model are one matrix",
                       "set one of the two, or both alike");
    }
  }
  constexpr int64_t kSizes[] = {0, 32, 64, 128};
  return {format_of(embeddings), format_of(head), kSizes[static_cast<int>(options.group_size)]};
}

PackedExport write_packed(const std::filesystem::path& folder, const Student& student,
                          std::span<const LayerPlan> plans, const QuantOptions& quant,
                          const ExportOptions& options, const HfFolder& teacher) {
  const RowFormats formats = row_formats(options, student.decoder().spec().tied_embeddings);
  PackedExport packed = export_packed(folder, student, plans, quant, teacher, formats);
  const int64_t compared = verify_packed(folder, student, plans, formats);
  print_bytes(packed.bytes, packed.teacher_bytes);
  for (const GroupedMatrix& matrix : packed.grouped) print_grouped(matrix);
  log_info("packed export: " + format_bytes(packed.bytes.total()) + ", " +
           format_fixed(packed.stored_bits, 3) + " bits per weight of the linear layers (" +
           format_fixed(packed.formula_bits, 3) + " by the paper's formula); read back, " +
           std::to_string(compared) + " tensors are equal");
  return packed;
}

void write_dense(const std::filesystem::path& folder, const Student& student,
                 const ExportOptions& options, const HfFolder& source) {
  const at::ScalarType type = float_type(options.dense_dtype, at::kCPU);
  const ByteTable bytes = export_dense(folder, student, type, source);
  log_info("dense export: " + format_bytes(bytes.total()) + " in " + name_of(type));
}

void write_dbf(const std::filesystem::path& folder, const Student& student,
               const HfFolder& source) {
  const DbfExport dbf = export_dbf(folder, student, source);
  log_info("dbf export: " + format_bytes(dbf.bytes.total()) + ", " +
           format_fixed(dbf.stored_bits, 3) + " bits per weight of the linear layers; " +
           (dbf.padded_layers > 0 ? std::to_string(dbf.padded_layers) +
                                        " layers have empty latent dimensions, as q, k and v (gate "
                                        "and up) must have the same bits; "
                                  : "") +
           "read back, " + std::to_string(dbf.tensors) + " tensors are equal");
}

}  // namespace littlebit
