// The layout of docs/formats.md, section Token files: a fixed header, ids, document starts, a fixed
// footer. The counts stand in the footer so that a file can be written in one pass, and its last
// bytes tell a whole file from a cut one.
#include "littlebit/data/token_file.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "littlebit/core/error.h"

namespace littlebit {

static_assert(std::endian::native == std::endian::little);

namespace {

constexpr std::string_view kMagic = "LBTOKENS";
constexpr std::string_view kEndMagic = "SNEKOTBL";
constexpr uint32_t kVersion = 1;
constexpr uint32_t kDtypeInt32 = 1;
constexpr size_t kHexDigits = 32;
constexpr size_t kBufferedIds = 256u << 10;

struct Header {
  char magic[8];
  uint32_t version;
  uint32_t dtype;
  char key[kHexDigits];
  char reserved[16];
};
struct Footer {
  // The sizes of all parts follow from these two counts, so the file's length can be checked
  // exactly.
  uint64_t documents;
  uint64_t tokens;
  char checksum[kHexDigits];  // of everything between the header and this field
  char magic[8];
};
static_assert(sizeof(Header) == 64 && sizeof(Footer) == 56);
constexpr size_t kUncheckedBytes = sizeof(Footer::checksum) + sizeof(Footer::magic);

// Bytes that the ids take, so that the document starts behind them are aligned.
constexpr uint64_t padded(uint64_t tokens) { return (tokens * sizeof(int32_t) + 7) / 8 * 8; }

template <class Value>
std::span<const std::byte> bytes_of(const Value& value) {
  return std::as_bytes(std::span(&value, 1));
}

}  // namespace

bool TokenFile::has_magic(std::span<const std::byte> bytes) {
  return bytes.size() >= kMagic.size() &&
         std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) == 0;
}

TokenFile::TokenFile(const std::filesystem::path& path) : file_(path) {
  const std::span<const std::byte> bytes = file_.bytes();
  const auto fail = [&](const std::string& what) -> void {
    throw InputError(path.string() + ": " + what, "make the file again from its text");
  };
  if (!has_magic(bytes)) fail("not a token file: it does not begin with " + std::string(kMagic));
  if (bytes.size() < sizeof(Header)) fail("truncated token file");
  Header header;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.version != kVersion) {
    fail("token file of version " + std::to_string(header.version) + ", this program reads " +
         std::to_string(kVersion));
  }
  if (header.dtype != kDtypeInt32) {
    fail("token file of dtype " + std::to_string(header.dtype) + ", expected 1 (int32)");
  }
  const size_t room = bytes.size() - sizeof(Header);
  Footer footer{};
  if (room >= sizeof footer) {
    std::memcpy(&footer, bytes.data() + bytes.size() - sizeof footer, sizeof footer);
  }
  if (room < sizeof footer || std::memcmp(footer.magic, kEndMagic.data(), kEndMagic.size()) != 0) {
    fail("truncated token file: its end is missing");
  }
  // Counts beyond the file's size are refused first: sums of the others cannot overflow.
  if (footer.tokens > room || footer.documents > room ||
      padded(footer.tokens) + (footer.documents + 1) * sizeof(uint64_t) + sizeof footer != room) {
    fail("damaged token file: " + std::to_string(bytes.size()) + " bytes do not fit " +
         std::to_string(footer.documents) + " documents of " + std::to_string(footer.tokens) +
         " tokens");
  }
  checksum_.assign(footer.checksum, kHexDigits);
  if (content_hash(bytes.subspan(sizeof header, room - kUncheckedBytes)) != checksum_) {
    fail("damaged token file: its checksum is wrong");
  }
  const std::byte* data = bytes.data() + sizeof header;
  tokens_ = {reinterpret_cast<const int32_t*>(data), footer.tokens};
  starts_ = {reinterpret_cast<const uint64_t*>(data + padded(footer.tokens)), footer.documents + 1};
  if (starts_.front() != 0 || starts_.back() != footer.tokens ||
      !std::is_sorted(starts_.begin(), starts_.end())) {
    fail("damaged token file: its document starts are out of order");
  }
  key_.assign(header.key, kHexDigits);
}

TokenFileWriter::TokenFileWriter(const std::filesystem::path& path, const std::string& key)
    : file_(path) {
  LB_ASSERT(key.size() == kHexDigits, "a key has 32 hex digits");
  Header header{};
  std::memcpy(header.magic, kMagic.data(), kMagic.size());
  header.version = kVersion;
  header.dtype = kDtypeInt32;
  std::memcpy(header.key, key.data(), kHexDigits);
  file_.write(bytes_of(header));
}

void TokenFileWriter::write(std::span<const std::byte> bytes) {
  hasher_.update(bytes);
  file_.write(bytes);
}

void TokenFileWriter::flush() {
  write(std::as_bytes(std::span(buffer_)));
  buffer_.clear();
}

void TokenFileWriter::add_document(std::span<const int32_t> ids) {
  starts_.push_back(starts_.back() + ids.size());
  while (!ids.empty()) {
    const size_t take = std::min(ids.size(), kBufferedIds - buffer_.size());
    buffer_.insert(buffer_.end(), ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(take));
    ids = ids.subspan(take);
    // Ids are written as they come; only document starts are kept until the end.
    if (buffer_.size() == kBufferedIds) flush();
  }
}

void TokenFileWriter::commit() {
  const uint64_t tokens = starts_.back();
  if (tokens % 2 == 1) buffer_.push_back(0);  // the padding
  flush();
  write(std::as_bytes(std::span(starts_)));
  Footer footer{};
  footer.documents = starts_.size() - 1;
  footer.tokens = tokens;
  hasher_.update(bytes_of(footer).first(sizeof footer - kUncheckedBytes));
  const std::string checksum = hasher_.hex();
  std::memcpy(footer.checksum, checksum.data(), kHexDigits);
  std::memcpy(footer.magic, kEndMagic.data(), kEndMagic.size());
  file_.write(bytes_of(footer));
  file_.commit();
}

}  // namespace littlebit
