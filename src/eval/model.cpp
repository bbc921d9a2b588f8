// Opens a folder to score according to its content, packed or dense. Tensors that the model does
// not use are reported, because they hint at a misread checkpoint.
#include "littlebit/eval/model.h"

#include "littlebit/core/strings.h"
#include "littlebit/export/load_packed.h"
#include "littlebit/logging/console.h"
#include "littlebit/models/folder_notes.h"
#include "littlebit/models/load.h"

namespace littlebit {
namespace {

// Tensors that stand in the folder and mean nothing to the model hint at a misread checkpoint.
void report_unused(const HfFolder& folder) {
  std::vector<std::string> names = folder.unused();
  // Old checkpoints carry the rotary frequencies, which follow from config.json.
  std::erase_if(names,
                [](const std::string& name) { return name.ends_with("rotary_emb.inv_freq"); });
  if (names.empty()) return;
  const size_t count = names.size();
  if (count > 3) names.resize(3);
  log_warning(folder.path().string() + ": " + std::to_string(count) +
              " tensor(s) that the model does not use are ignored: " + join(names, ", ") +
              (count > 3 ? ", ..." : ""));
}

}  // namespace

EvalModel::EvalModel(HfFolder folder, at::ScalarType compute_dtype, at::Device device)
    : folder_(std::make_unique<HfFolder>(std::move(folder))) {
  folder_->open_tensors();
  if (is_packed_folder(*folder_)) {
    packed_ = true;
    decoder_ = std::make_unique<Decoder>(load_packed(*folder_, compute_dtype, device));
  } else {
    decoder_ = std::make_unique<Decoder>(
        load_decoder(*folder_, folder_spec(*folder_), compute_dtype, device));
  }
  warn_of_what_does_not_act(*folder_, decoder().spec());
  const std::string& left_out = decoder().spec().left_out;
  if (left_out.empty()) {
    report_unused(*folder_);
  } else {
    log_info(left_out);
  }
}

}  // namespace littlebit
