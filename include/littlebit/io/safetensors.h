// safetensors files: 8-byte little-endian header length, JSON header {name: {dtype, shape,
// data_offsets}}, data.
//
// Reading maps the file and validates the whole header before anything is used: length, UTF-8,
// duplicates, shape * size = span without overflow, spans in bounds, without overlap and without
// holes. A tensor of a dtype that is not known here has a span and no size to compare it with.
// Tensors are views into the map. Writing streams in the order of declaration, data aligned to 64
// bytes, and publishes atomically.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "littlebit/core/read_file.h"

namespace littlebit {

enum class Dtype {
  kBool,
  kU8,
  kI8,
  kI16,
  kU16,
  kI32,
  kU32,
  kI64,
  kU64,
  kF16,
  kBF16,
  kF32,
  kF64,
  kOther  // one that is not known here: F8_E4M3, F4, C64, ...
};

size_t dtype_size(Dtype dtype);       // bytes per element; 0 of kOther
bool is_floating(Dtype dtype);        // F16, BF16, F32, F64
const char* dtype_name(Dtype dtype);  // the format's own name: "F32", "BF16", "I64", ...

// One tensor inside a mapped file. `data` lives as long as the file it came from, and starts at any
// byte: copy it or read it by memcpy, files of others do not align their tensors.
struct TensorView {
  std::string name;
  Dtype dtype;
  std::vector<int64_t> shape;  // {} is a scalar
  std::span<const std::byte> data;
  std::string other = {};  // kOther: the file's name of the dtype

  int64_t numel() const;
  std::string dtype_text() const;  // as the file says it
};

std::string shape_text(std::span<const int64_t> shape);  // "[4096, 128]"

class SafetensorsFile {
 public:
  explicit SafetensorsFile(
      const std::filesystem::path& path);  // InputError naming file, tensor and what is wrong

  const std::filesystem::path& path() const { return file_.path(); }
  const std::vector<TensorView>& tensors() const { return tensors_; }  // in the order of their data
  const TensorView* find(const std::string& name) const;  // nullptr where there is none
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  MappedFile file_;
  std::vector<TensorView> tensors_;
  std::map<std::string, size_t> index_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace littlebit
