// TensorBoard event files: scalars by tag and step, as records of TensorFlow's Event message.
//
// Invariant: a record is written by one append; a torn last one (a crash) is what TensorBoard, and
// keep() here, read past. Errors: OutputError. Not thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "littlebit/core/record_file.h"

namespace littlebit {

class EventFile {
 public:
  // Begins a new file in `folder`, which is created. Where a run goes on, `resumed_after` is its
  // step: TensorBoard drops what it has read of later ones.
  explicit EventFile(const std::filesystem::path& folder, int64_t resumed_after = 0);

  void scalars(int64_t step, std::span<const std::pair<std::string, double>> values);

  // Rewrites the event files of `folder` (none is no error) so that only scalars for which
  // keep(tag, step) holds remain; a file without any is removed. Only files that an EventFile began
  // are touched (their name and first record say so); links and files of others stay as they are.
  static void keep(const std::filesystem::path& folder,
                   const std::function<bool(const std::string& tag, int64_t step)>& keep);

 private:
  RecordFile file_;
};

// CRC-32C (Castagnoli) of the bytes, as TensorFlow's records carry it, masked.
uint32_t masked_crc32c(std::string_view bytes);

}  // namespace littlebit
