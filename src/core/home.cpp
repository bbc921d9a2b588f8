// The home folder, from the environment or the user database.
#include "littlebit/core/home.h"

#include <pwd.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "littlebit/core/error.h"

namespace littlebit {
namespace {

std::string home_folder() {
  if (const char* home = std::getenv("HOME"); home != nullptr && home[0] != 0) return home;
  std::vector<char> buffer(16u << 10);
  passwd entry{}, *found = nullptr;
  getpwuid_r(getuid(), &entry, buffer.data(), buffer.size(), &found);
  return found != nullptr && entry.pw_dir != nullptr ? entry.pw_dir : "";
}

}  // namespace

std::filesystem::path expand_home(const std::filesystem::path& path) {
  const std::string text = path.string();
  if (!text.starts_with('~')) return path;
  if (text.size() > 1 && text[1] != '/') {
    throw UsageError(text + ": only ~ and ~/... are supported, for your own home folder",
                     "write the folder in full; for a name that begins with ~, write ./" + text);
  }
  const std::string home = home_folder();
  if (home.empty()) {
    throw UsageError(text + ": your home folder is not known", "set HOME, or write it in full");
  }
  return home + text.substr(1);
}

}  // namespace littlebit
