// README.md of an exported folder: what the model is, how large and how good, what it was made with
// and how it is loaded, headed by what the Hugging Face Hub reads.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "littlebit/checkpoint/checkpoint.h"
#include "littlebit/io/hf_folder.h"
#include "littlebit/io/json.h"
#include "littlebit/train/options.h"

namespace littlebit {

struct ModelCard {
  const HfFolder& origin;               // the teacher's folder, or the packed one that became dense
  RunFingerprint settings;              // that decided the run's numbers; none of a packed folder
  const RunOptions* options = nullptr;  // of the run, where its folder is there
  int64_t step = 0;                     // whose weights these are
  Json run = Json::object();            // run.json, for scores; may be empty
  Json bytes;                           // export_json() of the packed export; may be null
};

// The text, without the mark that write_model_card() puts into it. `format`: as in export.formats.
std::string model_card_text(const ModelCard& card, const std::string& format);

// Writes README.md into `folder`, an export, and copies the licence files of card.origin that it
// lacks. A README.md that is not just as this program wrote it is a person's, and stays. Errors:
// OutputError.
void write_model_card(const std::filesystem::path& folder, const ModelCard& card,
                      const std::string& format);

}  // namespace littlebit
