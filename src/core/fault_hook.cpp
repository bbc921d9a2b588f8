// The hook lives as long as the process: files are written by destructors, too.
#include "littlebit/core/fault_hook.h"

#include <utility>

#include "core/fault_hook.h"

namespace littlebit {
namespace {

FaultHook& fault_hook() {
  static FaultHook hook;
  return hook;
}

}  // namespace

int injected_fault(std::string_view operation, const std::filesystem::path& path) {
  return fault_hook() ? fault_hook()(operation, path) : 0;
}

void set_fault_hook(FaultHook hook) { fault_hook() = std::move(hook); }

}  // namespace littlebit
