// The writer: the header is fixed by what was declared, so data streams to disk without being held.
// The file appears under its name only complete.
#include "littlebit/io/safetensors_writer.h"

#include <cstring>
#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/core/write_file.h"
#include "littlebit/io/json.h"
#include "littlebit/io/safetensors.h"

namespace littlebit {
namespace {

constexpr uint64_t kAlignment = 64;

// `text` as a JSON string.
std::string quoted(const std::string& text) {
  LB_ASSERT(invalid_utf8_at(text) == std::string_view::npos, "a safetensors text is not UTF-8");
  return to_json_line(Json(text));
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path) : path_(path) {}

void SafetensorsWriter::set_metadata(std::map<std::string, std::string> metadata) {
  LB_ASSERT(!file_, "set_metadata after the first write");
  metadata_ = std::move(metadata);
}

void SafetensorsWriter::declare(const std::string& name, Dtype dtype, std::vector<int64_t> shape) {
  LB_ASSERT(!file_, "declare after the first write");
  LB_ASSERT(name != "__metadata__", "a tensor may not be called __metadata__");
  LB_ASSERT(names_.insert(name).second, "declared twice: " + name);
  uint64_t bytes = dtype_size(dtype);
  for (const int64_t dim : shape) {
    LB_ASSERT(dim >= 0, "negative dimension of " + name);
    LB_ASSERT(!__builtin_mul_overflow(bytes, static_cast<uint64_t>(dim), &bytes),
              "too large: " + name);
  }
  entries_.push_back({name, dtype, std::move(shape), bytes});
  expected_ += bytes;
}

void SafetensorsWriter::write_header() {
  std::string header = "{";
  if (!metadata_.empty()) {
    header += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata_) {
      if (header.back() != '{') header += ',';
      header += quoted(key) + ":" + quoted(value);
    }
    header += '}';
  }
  uint64_t begin = 0;
  for (const Entry& entry : entries_) {
    if (header.size() > 1) header += ',';
    header += quoted(entry.name) + ":{\"dtype\":\"" + dtype_name(entry.dtype) +
              "\",\"shape\":" + shape_text(entry.shape) + ",\"data_offsets\":[" +
              std::to_string(begin) + "," + std::to_string(begin + entry.bytes) + "]}";
    begin += entry.bytes;
  }
  header += '}';
  while ((sizeof(uint64_t) + header.size()) % kAlignment != 0) header += ' ';

  file_ = std::make_unique<OutputFile>(path_);
  const uint64_t length = header.size();
  file_->write(std::as_bytes(std::span(&length, 1)));
  file_->write(header);
  data_start_ = file_->position();
}

void SafetensorsWriter::write(std::span<const std::byte> bytes) {
  if (!file_) write_header();
  LB_ASSERT(bytes.size() <= data_start_ + expected_ - file_->position(),
            "more bytes than declared: " + path_.string());
  file_->write(bytes);
}

void SafetensorsWriter::commit() {
  if (!file_) write_header();
  LB_ASSERT(file_->position() == data_start_ + expected_,
            "fewer bytes than declared: " + path_.string());
  file_->commit();
}

uint64_t SafetensorsWriter::header_bytes() const { return data_start_; }

}  // namespace littlebit
