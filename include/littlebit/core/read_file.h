// Files as they are read: mapped, or whole. InputError (exit 3) where that fails. Not thread-safe
// per object; different objects may be used from different threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace littlebit {

// A whole file, memory-mapped read-only. Move-only; the bytes live as long as the object.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const std::filesystem::path& path);  // an empty file maps to an empty span
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  std::filesystem::path path_;
};

// Releases the resident pages that lie fully inside `part` of a mapped file; they are read again
// when they are looked at.
void drop_pages(std::span<const std::byte> part);

// The whole file as a string. A file longer than `max_bytes` is refused by name.
std::string read_file(const std::filesystem::path& path, uint64_t max_bytes = UINT64_MAX);

}  // namespace littlebit
