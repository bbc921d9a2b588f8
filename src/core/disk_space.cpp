// The nearest folder that exists says how much is free.
#include "littlebit/core/disk_space.h"

#include <system_error>

#include "core/file_ops.h"
#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"

namespace littlebit {

namespace fs = std::filesystem;

void require_space(const fs::path& path, uint64_t bytes, const std::string& what) {
  fs::path at = file_ops::without_trailing_slash(path);
  std::error_code error;
  while (!fs::exists(at, error) && at != file_ops::folder_of(at)) at = file_ops::folder_of(at);
  uint64_t available = 0;
  if (!file_ops::free_bytes(at, &available) || available >= bytes) return;
  throw OutputError("cannot write " + what + ": No space left on device: it needs " +
                        format_bytes(bytes) + " in `" + path.string() + "`, where " +
                        format_bytes(available) + " are free",
                    "free space on that file system, or write to another one");
}

}  // namespace littlebit
