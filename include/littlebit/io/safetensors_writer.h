// safetensors files as they are written (safetensors.h has the format): in the order of
// declaration, data aligned to 64 bytes, published atomically.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "littlebit/core/write_file.h"
#include "littlebit/io/safetensors.h"

namespace littlebit {

// Declare every tensor, then write each one's bytes in the order of declaration (in one or many
// parts), then commit: only then is the file there under its name. OutputError where it cannot be
// written, BusyError where another process is writing it.
class SafetensorsWriter {
 public:
  explicit SafetensorsWriter(const std::filesystem::path& path);
  void set_metadata(std::map<std::string, std::string> metadata);
  void declare(const std::string& name, Dtype dtype, std::vector<int64_t> shape);
  void write(
      std::span<const std::byte> bytes);  // the next bytes of the current tensor; may span tensors
  void commit();                          // LB_ASSERT that every declared byte was written
  uint64_t header_bytes() const;          // after the first write

 private:
  void write_header();
  struct Entry {
    std::string name;
    Dtype dtype;
    std::vector<int64_t> shape;
    uint64_t bytes;
  };
  std::filesystem::path path_;
  std::map<std::string, std::string> metadata_;
  std::vector<Entry> entries_;
  std::set<std::string> names_;
  std::unique_ptr<OutputFile> file_;
  uint64_t data_start_ = 0, expected_ = 0;
};

}  // namespace littlebit
