// Exports and the lines about them. A packed export is read back and compared before it is called
// done.
#include "export_model.h"

#include "littlebit/core/strings.h"
#include "littlebit/logging/console.h"

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

}  // namespace

PackedExport write_packed(const std::filesystem::path& folder, const Student& student,
                          std::span<const LayerPlan> plans, const QuantOptions& quant,
                          const HfFolder& teacher) {
  PackedExport packed = export_packed(folder, student, plans, quant, teacher);
  const int64_t compared = verify_packed(folder, student, plans);
  print_bytes(packed.bytes, packed.teacher_bytes);
  log_info("packed export: " + format_bytes(packed.bytes.total()) + ", " +
           format_fixed(packed.stored_bits, 3) + " bits per weight of the linear layers (" +
           format_fixed(packed.formula_bits, 3) + " by the paper's formula); read back, " +
           std::to_string(compared) + " tensors are equal");
  return packed;
}

void write_dense(const std::filesystem::path& folder, const Student& student,
                 const ExportOptions& options, const HfFolder& source) {
  const bool half = options.dense_dtype == ComputeDtype::kBf16;
  const ByteTable bytes = export_dense(folder, student, half ? at::kBFloat16 : at::kFloat, source);
  log_info("dense export: " + format_bytes(bytes.total()) + " in " + (half ? "bf16" : "fp32"));
}

}  // namespace littlebit
