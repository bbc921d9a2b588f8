// The files of a source.
#pragma once

#include <filesystem>
#include <vector>

#include "littlebit/data/options.h"

namespace littlebit {

// The files of a source of data.train, sorted by name: its path itself, the files below a folder
// that have names of its format, or those that a glob (* ? [...]) fits. Says how many, where they
// are not one. InputError: an empty folder, a glob that fits nothing, an address, a name of the
// Hub. A path that does not exist is given as it is.
std::vector<std::filesystem::path> source_files(const SourceOptions& source);
bool source_exists(const SourceOptions& source);  // its path, or a file that its glob fits

}  // namespace littlebit
