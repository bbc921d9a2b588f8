// The mark by which a folder of ours is known: a key of its tensor file's metadata.
#include "littlebit/export/folder.h"

#include "export/model_files.h"
#include "littlebit/core/error.h"
#include "littlebit/io/safetensors.h"

namespace littlebit {

bool is_own_export(const std::filesystem::path& folder) {
  try {
    const SafetensorsFile file(folder / "model.safetensors");
    const auto found = file.metadata().find(kProducer);
    return found != file.metadata().end() && found->second == kUs;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace littlebit
