// What a checkpoint is called and what its manifest begins with. Inside checkpoint only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace littlebit {

inline constexpr int kVersion = 2;
inline constexpr const char* kFormat = "littlebit-checkpoint";
inline constexpr const char* kManifest = "manifest.json";
inline constexpr const char* kPrefix = "step-";

std::string folder_name(int64_t step);

// Nothing, an empty folder, or a checkpoint of ours.
bool may_be_replaced(const std::filesystem::path& folder);

}  // namespace littlebit
