// Where the fuzz targets put their files: a folder in memory, one per process.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <string_view>

#include "littlebit/core/error.h"
#include "temp_folder.h"

namespace littlebit::test {

// In memory where there is /dev/shm (a file written again and again on a disk costs milliseconds
// each time), unless TMPDIR says otherwise.
inline const std::filesystem::path& scratch() {
  static const TempFolder folder = [] {
    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", /*overwrite=*/0);
    return TempFolder();
  }();
  return folder.path();
}

inline std::filesystem::path put(const std::filesystem::path& file, std::string_view bytes) {
  std::ofstream stream(file, std::ios::binary | std::ios::trunc);
  stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!stream.flush()) throw std::runtime_error("cannot write " + file.string());
  return file;
}

// Whether `read` accepted its input.
inline bool accepts(const std::function<void()>& read) {
  try {
    read();
    return true;
  } catch (const Error& error) {
    const bool refused = error.code() == ExitCode::kInput || error.code() == ExitCode::kUsage;
    if (!refused || std::string_view(error.what()).empty()) throw;
    return false;
  }
}

}  // namespace littlebit::test
