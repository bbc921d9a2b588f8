// A student into the authors' packed format, and the comparison of what was written with what is in
// memory.
#include "littlebit/export/packed.h"

#include <nlohmann/json.hpp>

#include "littlebit/core/write_file.h"
#include "littlebit/export/stored_rows.h"
#include "model_files.h"
#include "packed_tensors.h"
#include "teacher_tensors.h"

namespace littlebit {

PackedExport export_packed(const std::filesystem::path& folder, const Student& student,
                           std::span<const LayerPlan> plans, const QuantOptions& options,
                           const HfFolder& teacher, const RowFormats& formats) {
  Json quant = quant_keys(plans, options);
  const Json grouped = formats_json(formats, student.decoder().spec().tied_embeddings);
  if (!grouped.empty()) quant[kGroupedKey] = grouped;
  require_replaceable(folder);
  OutputFolder output(folder);
  write_model_files(output.staging(), teacher, "bfloat16", quant);

  PackedExport result{
      .folder = folder,
      .teacher_bytes = stored_byte_table(teacher_tensors(teacher, student.decoder().spec())),
      .formula_bits = formula_bits(plans)};
  const StoredRows rows = store_rows(student.decoder(), formats);
  result.grouped = rows.lost;
  result.bytes = write_tensors(
      output.staging(), packed_tensors(student, plans, quant.at("eff_bit").get<double>(), rows));
  require_replaceable(folder);  // as it is now
  keep_foreign_files(folder, output.staging());
  output.commit();

  double weights = 0;
  for (const LayerPlan& plan : plans) {
    weights += static_cast<double>(plan.d_in) * static_cast<double>(plan.d_out);
  }
  const uint64_t stored = result.bytes.signs + result.bytes.scales + result.bytes.biases;
  if (weights > 0) result.stored_bits = 8 * static_cast<double>(stored) / weights;
  return result;
}

int64_t verify_packed(const std::filesystem::path& folder, const Student& student,
                      std::span<const LayerPlan> plans, const RowFormats& formats) {
  const std::string source = (folder / kQuantFile).string();
  const double target_bits = get_number(read_json_file(folder / kQuantFile), "eff_bit", source);
  const StoredRows rows = store_rows(student.decoder(), formats);
  const TensorList tensors = packed_tensors(student, plans, target_bits, rows);
  compare_tensors(folder, tensors);
  return static_cast<int64_t>(tensors.size());
}

}  // namespace littlebit
