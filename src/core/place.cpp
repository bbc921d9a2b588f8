// Where paths lead. Nothing here throws: what cannot be asked for is nowhere. FolderLock is in
// folder_lock.cpp.
#include "littlebit/core/place.h"

#include <algorithm>

namespace littlebit {

namespace fs = std::filesystem;

bool path_exists(const fs::path& path) noexcept {
  std::error_code error;
  return fs::exists(path, error);
}

fs::path resolved(const fs::path& path) {
  // weakly_canonical leaves a link that points to nothing as it is; what is written through it
  // appears where it points.
  constexpr int kMaxLinks = 40;  // as the system has it
  std::error_code error;
  fs::path target = path;
  for (int links = 0; links < kMaxLinks && fs::is_symlink(target, error); ++links) {
    target = target.parent_path() / fs::read_symlink(target, error);
  }
  target = fs::weakly_canonical(fs::absolute(target, error), error);
  if (error) return {};
  return target.has_filename() ? target : target.parent_path();  // "folder/" is "folder"
}

bool same_place(const fs::path& a, const fs::path& b) {
  std::error_code error;
  if (fs::equivalent(a, b, error)) return true;  // hard links too
  const fs::path whole = resolved(a);
  return !whole.empty() && whole == resolved(b);
}

bool lies_in(const fs::path& path, const fs::path& folder) {
  const fs::path inner = resolved(path), outer = resolved(folder);
  return !outer.empty() &&
         std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first == outer.end();
}

}  // namespace littlebit
