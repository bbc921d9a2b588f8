// Warnings about a folder whose model is read without all that lies in it.
#include "littlebit/models/folder_notes.h"

#include "littlebit/core/place.h"
#include "littlebit/core/strings.h"
#include "littlebit/logging/console.h"

namespace littlebit {

void warn_of_what_does_not_act(const HfFolder& folder, const ModelSpec& spec) {
  if (!spec.passed_over.empty()) {
    log_warning((folder.path() / "config.json").string() +
                ": unknown settings are ignored: " + join(spec.passed_over, ", "));
  }
  std::vector<std::string> adapter;
  for (const char* name : {"adapter_config.json", "adapter_model.safetensors", "adapter_model.bin",
                           "adapters.safetensors", "adapters.npz"}) {
    if (path_exists(folder.path() / name)) adapter.emplace_back(name);
  }
  if (adapter.empty()) return;
  log_warning(folder.path().string() +
              ": the folder also holds an adapter, which is not applied (" + join(adapter, ", ") +
              "): if you want it, merge it into the model first (merge_and_unload of peft)");
}

}  // namespace littlebit
