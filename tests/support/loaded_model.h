// A dense model folder opened: the decoder with the folder that its weights may be mapped from.
#pragma once

#include <filesystem>
#include <utility>

#include "littlebit/io/hf_folder.h"
#include "littlebit/models/architectures.h"
#include "littlebit/models/decoder.h"
#include "littlebit/models/load.h"

namespace littlebit::test {

inline HfFolder open_folder(const std::filesystem::path& path) {
  HfFolder folder(path);
  folder.open_tensors();
  return folder;
}

struct LoadedModel {
  explicit LoadedModel(const std::filesystem::path& path, at::ScalarType dtype = at::kFloat,
                       at::Device device = at::kCPU)
      : folder(open_folder(path)),
        decoder(load_decoder(folder, parse_model_spec(folder.config()), dtype, device)) {}

  HfFolder folder;
  Decoder decoder;
};

}  // namespace littlebit::test
