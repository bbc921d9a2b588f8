// Event, Summary and SessionLog are protocol buffers of a few fields; they are written and read by
// hand here. A record: length (8 bytes), its CRC (4), the message, its CRC (4).
#include "littlebit/logging/event_file.h"

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstring>
#include <vector>

#include "littlebit/core/error.h"
#include "littlebit/core/place.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/write_file.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kName = "events.out.tfevents.";  // behind it "SECONDS.NUMBER"
// The first record names its writer, as TensorFlow's own does: files of others are left alone.
constexpr std::string_view kVersion = "brain.Event:2", kWriter = "littlebit-native";
constexpr uint64_t kMaxOfFirst = 256;      // bytes of the first record's message
constexpr size_t kHead = 12, kFrame = 16;  // bytes of a record before, and around, its message

// Fields of the messages: number << 3 | wire type.
constexpr char kWallTime = 1 << 3 | 1, kStep = 2 << 3 | 0, kFileVersion = 3 << 3 | 2,
               kSummary = 5 << 3 | 2, kSessionLog = 7 << 3 | 2, kSource = 10 << 3 | 2;
constexpr char kValue = 1 << 3 | 2, kTag = 1 << 3 | 2, kSimpleValue = 2 << 3 | 5;
constexpr char kStatus = 1 << 3 | 0, kStart = 1;
constexpr char kSourceWriter = 1 << 3 | 2;

static_assert(std::endian::native == std::endian::little, "numbers are written as they lie");

template <class T>
std::string fixed(T value) {
  std::string text(sizeof value, '\0');
  std::memcpy(text.data(), &value, sizeof value);
  return text;
}

std::string varint(uint64_t value) {
  std::string text;
  for (; value >= 0x80; value >>= 7) text += static_cast<char>(value | 0x80);
  return text + static_cast<char>(value);
}

std::string bytes_field(char key, std::string_view bytes) {
  return key + varint(bytes.size()) + std::string(bytes);
}

std::string record(std::string_view message) {
  const std::string length = fixed(static_cast<uint64_t>(message.size()));
  return length + fixed(masked_crc32c(length)) + std::string(message) +
         fixed(masked_crc32c(message));
}

// An Event of this moment; `what` is its one other field.
std::string event(int64_t step, const std::string& what) {
  const double now =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  return record(kWallTime + fixed(now) + kStep + varint(static_cast<uint64_t>(step)) + what);
}

// Reads fields one after the other; done() after the last one, or where the message is none.
class FieldReader {
 public:
  explicit FieldReader(std::string_view message) : rest_(message) {}
  bool done() const { return rest_.empty(); }
  char key = 0;
  uint64_t number = 0;     // varints
  std::string_view bytes;  // of other fields

  void next() {
    key = static_cast<char>(read_varint());
    const int wire = key & 7;
    if (wire == 0) {
      number = read_varint();
      return;
    }
    const uint64_t size = wire == 1 ? 8 : wire == 5 ? 4 : wire == 2 ? read_varint() : UINT64_MAX;
    bytes = rest_.substr(0, size);
    rest_.remove_prefix(std::min<uint64_t>(size, rest_.size()));
  }

 private:
  uint64_t read_varint() {
    uint64_t value = 0;
    for (int shift = 0; !rest_.empty() && shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) break;
    }
    return value;
  }
  std::string_view rest_;
};

// The first field `key` of a message of bytes.
std::string_view field(std::string_view message, char key) {
  for (FieldReader reader(message); !reader.done();) {
    reader.next();
    if (reader.key == key) return reader.bytes;
  }
  return {};
}

struct Scalars {
  int64_t step = 0;
  std::string tag;  // the first; "" where the event holds none
};

Scalars read_event(std::string_view message) {
  Scalars scalars;
  for (FieldReader reader(message); !reader.done();) {
    reader.next();
    if (reader.key == kStep) scalars.step = static_cast<int64_t>(reader.number);
    if (reader.key == kSummary) scalars.tag = field(field(reader.bytes, kValue), kTag);
  }
  return scalars;
}

// "123.4" behind kName.
bool is_event_name(std::string_view name) {
  if (!name.starts_with(kName)) return false;
  const std::string_view numbers = name.substr(kName.size());
  const size_t dot = numbers.find('.');
  const auto digits = [](std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
  };
  return dot != std::string_view::npos && digits(numbers.substr(0, dot)) &&
         digits(numbers.substr(dot + 1));
}

// Whether the file begins with the record that an EventFile begins with.
bool is_ours(std::string_view bytes) {
  uint64_t size = 0;
  if (bytes.size() < kFrame) return false;
  std::memcpy(&size, bytes.data(), sizeof size);
  if (size > kMaxOfFirst || size > bytes.size() - kFrame) return false;
  const std::string_view message = bytes.substr(kHead, size);
  return bytes.substr(sizeof size, 4) == fixed(masked_crc32c(bytes.substr(0, sizeof size))) &&
         bytes.substr(kHead + size, 4) == fixed(masked_crc32c(message)) &&
         field(message, kFileVersion) == kVersion &&
         field(field(message, kSource), kSourceWriter) == kWriter;
}

// Our own files of the folder; no links.
std::vector<fs::path> event_files(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
    if (!is_event_name(entry.path().filename().string())) continue;
    if (fs::is_regular_file(entry.symlink_status(ignored))) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

fs::path new_file(const fs::path& folder) {
  create_folders(folder);
  const int64_t seconds = std::chrono::duration_cast<std::chrono::seconds>(
                              std::chrono::system_clock::now().time_since_epoch())
                              .count();
  // Readers take files in the order of their names.
  for (int number = 0;; ++number) {
    const fs::path file =
        folder / (std::string(kName) + std::to_string(seconds) + "." + std::to_string(number));
    if (!path_exists(file)) return file;
  }
}

}  // namespace

uint32_t masked_crc32c(std::string_view bytes) {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> made{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0x82F63B78u : 0);
      made[i] = value;
    }
    return made;
  }();
  uint32_t crc = ~0u;
  for (const char byte : bytes)
    crc = table[(crc ^ static_cast<unsigned char>(byte)) & 255] ^ crc >> 8;
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xA282EAD8u;
}

EventFile::EventFile(const fs::path& folder, int64_t resumed_after) : file_(new_file(folder)) {
  file_.append(event(0, bytes_field(kFileVersion, kVersion) +
                            bytes_field(kSource, bytes_field(kSourceWriter, kWriter))));
  if (resumed_after > 0) {
    file_.append(event(resumed_after + 1, bytes_field(kSessionLog, std::string{kStatus, kStart})));
  }
}

void EventFile::scalars(int64_t step, std::span<const std::pair<std::string, double>> values) {
  std::string summary;
  for (const auto& [tag, value] : values) {
    summary += bytes_field(
        kValue, bytes_field(kTag, tag) + kSimpleValue + fixed(static_cast<float>(value)));
  }
  file_.append(event(step, bytes_field(kSummary, summary)));
}

void EventFile::keep(const fs::path& folder,
                     const std::function<bool(const std::string& tag, int64_t step)>& keep) {
  for (const fs::path& file : event_files(folder)) {
    std::string all;
    try {
      all = read_file(file);
    } catch (const InputError&) {
      continue;  // what cannot be read is not known to be ours
    }
    if (!is_ours(all)) continue;
    std::string kept;
    bool any = false;
    for (size_t at = 0; all.size() - at >= kFrame;) {
      uint64_t size = 0;
      std::memcpy(&size, all.data() + at, sizeof size);
      if (size > all.size() - at - kFrame) break;  // torn by a crash
      const Scalars scalars = read_event(std::string_view(all).substr(at + kHead, size));
      if (scalars.tag.empty() || keep(scalars.tag, scalars.step)) {
        kept.append(all, at, size + kFrame);
        any = any || !scalars.tag.empty();
      }
      at += size + kFrame;
    }
    if (!any) {
      std::error_code ignored;
      fs::remove(file, ignored);
    } else if (kept.size() != all.size()) {
      write_file(file, kept);
    }
  }
}

}  // namespace littlebit
