// Asks the fault hook. Inside core only.
#pragma once

#include <filesystem>
#include <string_view>

namespace littlebit {

int injected_fault(std::string_view operation, const std::filesystem::path& path);  // errno, or 0

}  // namespace littlebit
