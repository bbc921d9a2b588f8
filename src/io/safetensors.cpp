// The reader: a mapped file whose header is believed only after every statement in it was checked
// against the others and against the file's length. Nothing is allocated by what a header claims;
// only by how long it really is.
#include "littlebit/io/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <tuple>

#include "littlebit/core/error.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"
#include "littlebit/io/json.h"

namespace littlebit {

static_assert(std::endian::native == std::endian::little);

namespace {

// The limit of Hugging Face's own reader.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;
constexpr size_t kLengthBytes = sizeof(uint64_t);

// In the order of Dtype. A type that is not in the list is no error yet: a file may hold such
// tensors beside those that are asked for.
struct DtypeRow {
  const char* name;
  size_t size;
};
constexpr std::array<DtypeRow, 14> kDtypes = {{{"BOOL", 1},
                                               {"U8", 1},
                                               {"I8", 1},
                                               {"I16", 2},
                                               {"U16", 2},
                                               {"I32", 4},
                                               {"U32", 4},
                                               {"I64", 8},
                                               {"U64", 8},
                                               {"F16", 2},
                                               {"BF16", 2},
                                               {"F32", 4},
                                               {"F64", 8},
                                               {"of an unknown type", 0}}};

const DtypeRow& row_of(Dtype dtype) { return kDtypes[static_cast<size_t>(dtype)]; }

const char kRewriteHint[] = "download or write the file again";

// Where the JSON header of `file` lies. InputError where its length cannot be right.
std::string_view header_of(const MappedFile& file) {
  const std::span<const std::byte> bytes = file.bytes();
  const std::string path = file.path().string();
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  // First, because a pointer's text would be read as a header of a senseless length.
  if (text.starts_with("version https://git-lfs")) {
    throw InputError(path + ": a Git LFS pointer, not the safetensors file itself",
                     "run `git lfs pull` in its folder");
  }
  if (bytes.size() < kLengthBytes) {
    throw InputError(path + ": not a safetensors file: " + std::to_string(bytes.size()) +
                         " bytes, the header length alone takes 8",
                     kRewriteHint);
  }
  uint64_t length;
  std::memcpy(&length, bytes.data(), kLengthBytes);
  if (length > kMaxHeaderBytes) {
    throw InputError(path + ": not a safetensors file: its first 8 bytes give a header of " +
                         std::to_string(length) + " bytes, at most " +
                         std::to_string(kMaxHeaderBytes) + " are allowed",
                     kRewriteHint);
  }
  if (length > bytes.size() - kLengthBytes) {
    throw InputError(path + ": truncated: the header takes " +
                         std::to_string(length + kLengthBytes) + " bytes, the file has " +
                         std::to_string(bytes.size()),
                     kRewriteHint);
  }
  if (length == 0 || text[kLengthBytes] != '{') {
    throw InputError(path + ": not a safetensors file: the header does not begin with '{'",
                     kRewriteHint);
  }
  return text.substr(kLengthBytes, length);
}

// One entry of the header before its data is looked at.
struct Claim {
  TensorView tensor;  // without data
  uint64_t begin, end;
};

// Reads the entry of one tensor. `where` names file and tensor.
Claim read_claim(const std::string& where, const std::string& name, const Json& entry) {
  const auto fail = [&](const std::string& what) -> void {
    throw InputError(where + ": " + what, kRewriteHint);
  };
  if (!entry.is_object()) fail("its header entry must be an object");
  for (const char* key : {"dtype", "shape", "data_offsets"}) {
    if (!entry.contains(key)) fail(std::string("its header entry has no \"") + key + "\"");
  }
  Claim claim{{.name = name, .dtype = Dtype::kU8, .shape = {}, .data = {}}, 0, 0};

  const std::string dtype = get_string(entry, "dtype", where);
  const auto other = kDtypes.end() - 1;
  const auto row = std::find_if(kDtypes.begin(), other,
                                [&](const DtypeRow& candidate) { return dtype == candidate.name; });
  claim.tensor.dtype = static_cast<Dtype>(row - kDtypes.begin());
  if (row == other) claim.tensor.other = dtype;

  const auto count = [&](const Json& value, const char* what) {
    if (!value.is_number_unsigned() || value.get<uint64_t>() > INT64_MAX) {
      fail(std::string(what) + " must be an integer of 0 ... 2^63 - 1, found " +
           to_json_line(value));
    }
    return value.get<int64_t>();
  };
  const Json& shape = entry["shape"];
  if (!shape.is_array()) fail("\"shape\" must be a list of integers");
  // Zero dimensions do not excuse the others from having a product that fits.
  int64_t product = static_cast<int64_t>(std::max<size_t>(row->size, 1));
  bool empty = false;
  for (const Json& value : shape) {
    const int64_t dim = count(value, "a dimension of \"shape\"");
    empty |= dim == 0;
    claim.tensor.shape.push_back(dim);
    if (__builtin_mul_overflow(product, std::max<int64_t>(dim, 1), &product)) {
      fail("shape " + to_json_line(shape) + " has more bytes than 2^63");
    }
  }
  const uint64_t bytes = empty ? 0 : static_cast<uint64_t>(product);

  const Json& offsets = entry["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2) fail("\"data_offsets\" must be [begin, end]");
  claim.begin = static_cast<uint64_t>(count(offsets[0], "\"data_offsets\""));
  claim.end = static_cast<uint64_t>(count(offsets[1], "\"data_offsets\""));
  const bool fits = row == other || claim.end - claim.begin == bytes;
  if (claim.end < claim.begin || !fits) {
    fail("data_offsets " + to_json_line(offsets) + " do not fit " + claim.tensor.dtype_text() +
         " " + shape_text(claim.tensor.shape) + ", which takes " + std::to_string(bytes) +
         " bytes");
  }
  return claim;
}

std::map<std::string, std::string> read_metadata(const std::string& path, const Json& entry) {
  std::map<std::string, std::string> metadata;
  if (entry.is_null()) return metadata;  // as MLX writes it
  if (!entry.is_object()) throw InputError(path + ": \"__metadata__\" must be an object");
  for (const auto& [key, value] : entry.items()) {
    metadata[key] = get_string(entry, key, path + ": __metadata__");
  }
  return metadata;
}

// The claims, sorted by place, must tile [0, data_bytes) exactly.
void check_tiling(const std::string& path, const std::vector<Claim>& claims, uint64_t data_start,
                  uint64_t data_bytes) {
  // As the format demands. It makes a shortened file fail when it is opened, and not when its last
  // tensor is needed.
  uint64_t end = 0;
  const std::string* before = nullptr;
  for (const Claim& claim : claims) {
    if (claim.begin != end) {
      const std::string place = "offset " + std::to_string(claim.begin) + ", expected " +
                                std::to_string(end) +
                                (before == nullptr ? "" : " where \"" + *before + "\" ends");
      throw InputError(
          path + ": tensor \"" + claim.tensor.name + "\": " +
              (claim.begin < end ? "overlaps another: " : "there is a gap before it: ") + place,
          kRewriteHint);
    }
    end = claim.end;
    before = &claim.tensor.name;
  }
  if (end > data_bytes) {
    throw InputError(path + ": truncated: the header describes " +
                         std::to_string(data_start + end) + " bytes, the file has " +
                         std::to_string(data_start + data_bytes),
                     kRewriteHint);
  }
  if (end < data_bytes) {
    throw InputError(path + ": " + std::to_string(data_bytes - end) +
                         " bytes after the last tensor: expected a file of " +
                         std::to_string(data_start + end) + " bytes, found " +
                         std::to_string(data_start + data_bytes),
                     kRewriteHint);
  }
}

}  // namespace

size_t dtype_size(Dtype dtype) { return row_of(dtype).size; }

bool is_floating(Dtype dtype) {
  return dtype == Dtype::kF16 || dtype == Dtype::kBF16 || dtype == Dtype::kF32 ||
         dtype == Dtype::kF64;
}

const char* dtype_name(Dtype dtype) { return row_of(dtype).name; }

std::string TensorView::dtype_text() const {
  return dtype == Dtype::kOther ? other : dtype_name(dtype);
}

int64_t TensorView::numel() const {
  int64_t product = 1;
  for (const int64_t dim : shape) {
    if (dim == 0) return 0;  // first, so that the product of the others cannot overflow
  }
  for (const int64_t dim : shape) product *= dim;
  return product;
}

std::string shape_text(std::span<const int64_t> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  return text + "]";
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : file_(path) {
  const std::string name = path.string();
  const std::string_view text = header_of(file_);
  const Json header = parse_json(text, name + " (header)");
  std::vector<Claim> claims;
  for (const auto& [key, entry] : header.items()) {
    if (key == "__metadata__") {
      metadata_ = read_metadata(name, entry);
    } else {
      claims.push_back(read_claim(name + ": tensor \"" + key + "\"", key, entry));
    }
  }
  // By place, since the header is in any order. Empty tensors share a place; their end and name
  // make the order certain.
  std::sort(claims.begin(), claims.end(), [](const Claim& a, const Claim& b) {
    return std::tie(a.begin, a.end, a.tensor.name) < std::tie(b.begin, b.end, b.tensor.name);
  });
  const uint64_t data_start = kLengthBytes + text.size();
  const std::span<const std::byte> data = file_.bytes().subspan(data_start);
  check_tiling(name, claims, data_start, data.size());
  tensors_.reserve(claims.size());
  for (Claim& claim : claims) {
    // Within the data, as the tiling has shown.
    claim.tensor.data = data.subspan(claim.begin, claim.end - claim.begin);
    index_[claim.tensor.name] = tensors_.size();
    tensors_.push_back(std::move(claim.tensor));
  }
}

const TensorView* SafetensorsFile::find(const std::string& name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

}  // namespace littlebit
