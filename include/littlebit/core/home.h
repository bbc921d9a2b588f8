// `~` at the start of a path, as shells understand it. A shell expands it only at the start of an
// argument: in a file, or after `key=`, it reaches us as it was written.
#pragma once

#include <filesystem>

namespace littlebit {

// `~` and `~/...` with the user's home folder ($HOME, else what the system knows) in its place;
// other paths as they are. UsageError for `~name`, which is somebody else's folder to a shell, and
// where no home folder is known.
std::filesystem::path expand_home(const std::filesystem::path& path);

}  // namespace littlebit
