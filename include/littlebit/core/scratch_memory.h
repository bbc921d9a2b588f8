// Memory beyond the machine's: a file without a name, mapped for reading and writing. The system
// may write its pages out and read them again; whoever has finished with a part calls drop_pages()
// (file.h). The file is gone with the object, and with the process however that ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace littlebit {

class ScratchMemory {
 public:
  // `bytes` zeros (more than 0) in `folder`, which is there, on a disk that has been asked for
  // room. OutputError where the file cannot be made that large.
  ScratchMemory(const std::filesystem::path& folder, uint64_t bytes);
  ScratchMemory(const ScratchMemory&) = delete;
  ScratchMemory& operator=(const ScratchMemory&) = delete;
  ~ScratchMemory();

  std::span<std::byte> bytes() const { return {data_, size_}; }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace littlebit
