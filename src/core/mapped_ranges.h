// Which bytes of memory belong to which mapped file, to report a fault in reading them. Entries
// are found by a signal handler, so they are never freed, only used again. Inside core only.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace littlebit::mapped_ranges {

void add(std::span<const std::byte> bytes, const std::filesystem::path& path);
void remove(std::span<const std::byte> bytes);

// InputError where the bytes are of a mapped file: a system call could not read them.
void throw_if_lost(std::span<const std::byte> bytes);

}  // namespace littlebit::mapped_ranges
