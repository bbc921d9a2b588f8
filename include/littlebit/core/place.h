// Paths that several processes may want: whether something is there, and who has locked it.
// Locks end with the process that holds them; file systems without locks are tolerated.
#pragma once

#include <filesystem>

#include "littlebit/core/error.h"

namespace littlebit {

// Whether something is there. False, unlike std::filesystem's form that throws, for what cannot
// even be asked for: a name too long, a loop of links, a folder that may not be searched.
bool path_exists(const std::filesystem::path& path) noexcept;

// Where a path leads: whole and without links, also where the last link points to nothing yet; ""
// where they end nowhere.
std::filesystem::path resolved(const std::filesystem::path& path);

// Whether two paths lead to one place. Neither needs to be there.
bool same_place(const std::filesystem::path& a, const std::filesystem::path& b);

// Whether `path` is `folder` or something below it, links followed. Neither needs to be there.
bool lies_in(const std::filesystem::path& path, const std::filesystem::path& folder);

}  // namespace littlebit
