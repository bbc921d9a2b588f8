// Compressed data in memory as a stream of bytes, by the end of the file's name: .gz or .zst.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

namespace littlebit {

class Unpacker {
 public:
  Unpacker() = default;
  Unpacker(const Unpacker&) = delete;
  Unpacker& operator=(const Unpacker&) = delete;
  virtual ~Unpacker() = default;

  // Fills `out` as far as there is data; 0 at the end. InputError where the data is truncated or
  // damaged.
  virtual size_t read(std::span<char> out) = 0;
  virtual uint64_t consumed() const = 0;  // of the compressed bytes
};

// Whether a file of this name is compressed, and its name without that ending.
bool is_packed_name(const std::filesystem::path& path);
std::filesystem::path unpacked_name(const std::filesystem::path& path);

// For a file whose name says that it is compressed; `data` must outlive the object. InputError
// where the data is of another kind.
std::unique_ptr<Unpacker> make_unpacker(const std::filesystem::path& path,
                                        std::span<const std::byte> data);

}  // namespace littlebit
