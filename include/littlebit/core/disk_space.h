// Whether something will fit, asked before it is begun. What a quota leaves is not known here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace littlebit {

// OutputError, with both numbers, where `what` of so many bytes does not fit where `path` is, or
// will be: it need not exist. A file system that tells no numbers is taken for large enough.
void require_space(const std::filesystem::path& path, uint64_t bytes, const std::string& what);

}  // namespace littlebit
