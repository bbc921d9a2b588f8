// A model to score: a dense Hugging Face folder or a packed LittleBit folder, opened the same way.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "littlebit/io/hf_folder.h"
#include "littlebit/models/decoder.h"

namespace littlebit {

class EvalModel {
 public:
  // InputError naming what is missing or not understood.
  EvalModel(HfFolder folder, at::ScalarType compute_dtype, at::Device device);
  EvalModel(const std::filesystem::path& folder, at::ScalarType compute_dtype, at::Device device)
      : EvalModel(HfFolder(folder), compute_dtype, device) {}

  const Decoder& decoder() const { return *decoder_; }
  const HfFolder& folder() const { return *folder_; }
  bool packed() const { return packed_; }

 private:
  std::unique_ptr<HfFolder> folder_;
  std::unique_ptr<Decoder> decoder_;
  bool packed_ = false;
};

}  // namespace littlebit
