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

// The file whose bytes cannot be read at an address any more, and why. nullptrs where no mapped
// file lies there. Async-signal-safe; the texts are static or never freed.
struct Lost {
  const char* path = nullptr;
  const char* reason = nullptr;
};
Lost lost_at(const void* address);

inline constexpr char kLostHint[] =
    "restore the whole file, keep other programs from writing to it, and start again";

}  // namespace littlebit::mapped_ranges
