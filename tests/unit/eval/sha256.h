// SHA-256 of bytes, by the program sha256sum: reference programs write hashes of that kind.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

#include "littlebit/core/write_file.h"
#include "temp_folder.h"

namespace littlebit::test {

inline std::string sha256(std::string_view bytes) {
  const TempFolder temp;
  write_file(temp / "bytes", bytes);
  FILE* pipe = popen(("sha256sum '" + (temp / "bytes").string() + "'").c_str(), "r");
  char hash[65] = {};
  const size_t got = pipe ? std::fread(hash, 1, 64, pipe) : 0;
  if (pipe) pclose(pipe);
  return got == 64 ? hash : "sha256sum failed";
}

}  // namespace littlebit::test
