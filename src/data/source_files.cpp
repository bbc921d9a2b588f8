// Which files a source of data.train names: one, those of a folder, or those that a glob fits.
#include "littlebit/data/source_files.h"

#include <glob.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "data/unpacker.h"
#include "littlebit/core/error.h"
#include "littlebit/core/place.h"
#include "littlebit/core/strings.h"
#include "littlebit/logging/console.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 5> kTextNames = {".txt", ".jsonl", ".ndjson", ".json",
                                                        ".parquet"};
constexpr std::array<std::string_view, 2> kTokenNames = {".bin", ".safetensors"};

bool is_folder(const fs::path& path) {
  std::error_code unknown;
  return fs::is_directory(path, unknown);
}

bool is_glob(const std::string& path) { return path.find_first_of("*?[") != std::string::npos; }

bool has_name_of(SourceFormat format, const fs::path& file) {
  const auto holds = [](const auto& names, const fs::path& ending) {
    return std::find(names.begin(), names.end(), ending.string()) != names.end();
  };
  if (format == SourceFormat::kTokens) return holds(kTokenNames, file.extension());
  if (format == SourceFormat::kParquet) return file.extension() == ".parquet";
  return holds(kTextNames, unpacked_name(file).extension());
}

// Hidden files and folders, such as those of git and of downloads under way, are not looked at.
std::vector<fs::path> files_below(const SourceOptions& source, int64_t* others) {
  std::vector<fs::path> files;
  std::error_code error;
  fs::recursive_directory_iterator entry(source.path, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    std::error_code unknown;
    const bool hidden = entry->path().filename().string().starts_with('.');
    if (hidden) entry.disable_recursion_pending();
    if (hidden || !entry->is_regular_file(unknown)) continue;
    if (has_name_of(source.format, entry->path())) {
      files.push_back(entry->path());
    } else {
      ++*others;
    }
  }
  if (error) {
    throw InputError("cannot read the folder `" + source.path.string() + "`: " + error.message(),
                     "check its permissions");
  }
  // By name, not as the file system lists them: the order decides the blocks.
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<fs::path> glob_files(const fs::path& pattern) {
  glob_t found{};
  const int result = ::glob(pattern.c_str(), 0, nullptr, &found);
  std::vector<fs::path> files;
  for (size_t i = 0; result == 0 && i < found.gl_pathc; ++i) {
    std::error_code unknown;
    if (fs::is_regular_file(found.gl_pathv[i], unknown)) files.emplace_back(found.gl_pathv[i]);
  }
  ::globfree(&found);
  std::sort(files.begin(), files.end());
  return files;
}

void refuse_address(const std::string& path) {
  if (path.find("://") == std::string::npos) return;
  throw InputError(
      "training data " + path + " is an address, not a file",
      "the programs download nothing: download it first (docs/data.md has the commands), "
      "then give the file");
}

// "allenai/c4": a name on the Hub looks like a file in a folder that is not there.
void refuse_hub_name(const fs::path& path) {
  const std::string text = path.string();
  if (std::count(text.begin(), text.end(), '/') != 1 || text.starts_with('/') ||
      text.starts_with('.') || path.has_extension() || is_folder(path.parent_path())) {
    return;
  }
  throw InputError("training data " + text + " does not exist",
                   "a data set of that name on the Hugging Face Hub must be downloaded first "
                   "(docs/data.md); then give its folder or files");
}

}  // namespace

bool source_exists(const SourceOptions& source) {
  return path_exists(source.path) ||
         (is_glob(source.path.string()) && !glob_files(source.path).empty());
}

std::vector<fs::path> source_files(const SourceOptions& source) {
  const std::string name = source.path.string();
  if (is_folder(source.path)) {
    int64_t others = 0;
    const std::vector<fs::path> files = files_below(source, &others);
    const std::string left =
        others == 0 ? "" : ", " + format_count(others) + " with other names ignored";
    if (files.empty()) {
      const bool tokens = source.format == SourceFormat::kTokens;
      throw InputError(
          "training data " + name + ": no file in this folder has a name for " +
              (tokens
                   ? "ids (.bin, .safetensors)"
                   : "text (.txt, .jsonl, .ndjson, .json, each also with .gz or .zst, .parquet)") +
              left,
          "name the files by a glob, for instance '" + (source.path / "*").string() + "'");
    }
    log_info(name + ": " + format_count(static_cast<int64_t>(files.size())) + " files" + left);
    return files;
  }
  if (path_exists(source.path)) return {source.path};
  refuse_address(name);
  if (is_glob(name)) {
    std::vector<fs::path> files = glob_files(source.path);
    if (files.empty()) {
      throw InputError("training data " + name + ": no file matches this glob",
                       "* and ? match characters within one name, not folders; give a folder to "
                       "take everything below it");
    }
    log_info(name + ": " + format_count(static_cast<int64_t>(files.size())) + " files");
    return files;
  }
  refuse_hub_name(source.path);
  return {source.path};  // whoever opens it says what is there instead
}

}  // namespace littlebit
