// Finds the Parquet library at run time.
#include "littlebit/data/parquet.h"

#include <dlfcn.h>

#include <filesystem>
#include <system_error>

#include "littlebit/core/place.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

const ParquetLibrary* look(std::string& problem) {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  const fs::path path = program.parent_path().parent_path() / "lib" / "liblittlebit_parquet.so";
  if (!path_exists(path)) {
    problem = "this program was built without Parquet";
    return nullptr;
  }
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* text = dlerror();
    problem = "the Parquet library cannot be loaded: " +
              std::string(text == nullptr ? "unknown error" : text);
    return nullptr;
  }
  const auto table =
      reinterpret_cast<const ParquetLibrary* (*)()>(dlsym(library, "littlebit_parquet_library"));
  if (table == nullptr || table()->version != kParquetLibraryVersion) {
    problem = path.string() + " belongs to another version of this program";
    return nullptr;
  }
  return table();
}

}  // namespace

const ParquetLibrary* load_parquet_library(std::string& problem) {
  static std::string reason;
  static const ParquetLibrary* const library = look(reason);
  problem = reason;
  return library;
}

}  // namespace littlebit
