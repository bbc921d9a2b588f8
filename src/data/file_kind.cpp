// The first bytes of formats that people take for text files, and text that is not in UTF-8 though
// its bytes may be.
#include "data/file_kind.h"

#include <algorithm>
#include <array>

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/data/documents.h"

namespace littlebit {
namespace {

constexpr size_t kLooked = 4096;  // bytes that tell an encoding

using namespace std::string_view_literals;

struct Kind {
  std::string_view magic;
  const char* what;
  const char* program;  // that unpacks it to standard output, or nullptr
};
constexpr Kind kKinds[] = {
    {"\xFD"
     "7zXZ\0"sv,
     "xz", "xz -dc"},
    {"\x04\x22\x4D\x18"sv, "lz4", "lz4 -dc"},
    {"\x5D\0\0\x80\0"sv, "lzma", "xz -dc"},
    {"\x1F\x9D"sv, "compress", "gunzip -c"},
    {"LZIP\x01"sv, "lzip", "lzip -dc"},
    {"\xFF\x06\0\0sNaPpY"sv, "snappy", nullptr},
    {"PK\x03\x04"sv, "zip", "unzip -p"},
    {"PK\x05\x06"sv, "zip", "unzip -p"},
    {"7z\xBC\xAF\x27\x1C"sv, "7z", "7z e -so"},
    {"Rar!\x1A\x07"sv, "rar", "unrar p -inul"},
};

struct Format {
  std::string_view magic;
  const char* what;
};
constexpr Format kFormats[] = {
    {"ARROW1\0\0"sv, "an Arrow file"},
    {"FEA1\0\0\0\0"sv, "a Feather file"},
    {"ORC\x03"sv, "an ORC file"},
    {"Obj\x01"sv, "an Avro file"},
    {"GGUF\x02\0\0\0"sv, "a GGUF model"},
    {"GGUF\x03\0\0\0"sv, "a GGUF model"},
    {"\x93NUMPY"sv, "a NumPy file"},
    {"\x89HDF\r\n"sv, "an HDF5 file"},
    {"SQLite format 3\0"sv, "an SQLite database"},
    {"%PDF-"sv, "a PDF document"},
    {"{\\rtf"sv, "an RTF document"},
    {"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"sv, "an old Office document"},
    {"\x89PNG\r\n"sv, "a picture"},
    {"\xFF\xD8\xFF"sv, "a picture"},
    {"\x7F"
     "ELF"sv,
     "a program"},
};

[[noreturn]] void refuse(const std::filesystem::path& file, const std::string& what,
                         const std::string& hint) {
  throw InputError(file.string() + ": " + what, hint);
}

bool is_bzip2(std::string_view head) {
  return head.starts_with("BZh") && head.size() >= 10 &&
         (head.substr(4, 6) == "\x31\x41\x59\x26\x53\x59"sv ||
          head.substr(4, 6) == "\x17\x72\x45\x38\x50\x90"sv);
}

bool is_skippable_zstd(std::string_view head) {
  return head.size() >= 4 && (head[0] & 0xF0) == 0x50 && head.substr(1, 3) == "\x2A\x4D\x18"sv;
}

// A stream of Arrow messages, as Hugging Face's cache has them.
bool is_arrow_stream(std::string_view head) {
  return head.size() >= 8 && head.starts_with("\xFF\xFF\xFF\xFF"sv) && head[7] == 0;
}

// safetensors: the length of a JSON header, then the header.
bool is_safetensors(std::string_view head) {
  return head.size() > 9 && head.substr(4, 4) == "\0\0\0\0"sv && head.substr(8, 2) == "{\""sv;
}

[[noreturn]] void refuse_compressed(const std::filesystem::path& file, const char* what,
                                    const char* program) {
  refuse(file, std::string("compressed with ") + what + ", which is not supported",
         program == nullptr
             ? "unpack it first; plain text, gzip and zstd are read"
             : "unpack it first: " + std::string(program) + " '" + file.string() + "' > FILE");
}

// Text as units of some bytes, whatever they mean; where in each unit the high bytes are.
struct Wide {
  const char* name;
  std::string_view mark;
  size_t unit;
  std::array<bool, 4> high;
};
constexpr Wide kWides[] = {
    {"UTF-32LE", "\xFF\xFE\0\0"sv, 4, {false, false, true, true}},
    {"UTF-32BE", "\0\0\xFE\xFF"sv, 4, {true, true, false, false}},
    {"UTF-16LE", "\xFF\xFE"sv, 2, {false, true, false, false}},
    {"UTF-16BE", "\xFE\xFF"sv, 2, {true, false, false, false}},
};

// Without a mark. In a script of few letters the high bytes are nearly the same ones throughout,
// and small; in UTF-8 hardly a byte is. Spaces and line ends have a high byte of zero, so a text
// that is no more than line ends at every other place is not taken for one.
bool looks_like(const Wide& wide, std::string_view head) {
  const size_t units = head.size() / wide.unit;
  if (units < 4) return false;
  size_t high = 0, small = 0, zero = 0, low = 0, low_small = 0;
  for (size_t i = 0; i < units * wide.unit; ++i) {
    const auto byte = static_cast<unsigned char>(head[i]);
    if (wide.high[i % wide.unit]) {
      ++high;
      small += byte < 0x20 ? 1 : 0;
      zero += byte == 0 ? 1 : 0;
    } else {
      ++low;
      low_small += byte == 0 ? 1 : 0;
    }
  }
  if (wide.unit == 4) return zero * 10 >= high * 9 && low_small * 10 < low * 7;
  return small * 10 >= high * 7 && zero * 20 >= high && low_small * 10 < low * 2;
}

}  // namespace

bool is_gzip(std::string_view head) { return head.starts_with("\x1F\x8B"sv); }

bool is_zstd(std::string_view head) {
  return head.starts_with("\x28\xB5\x2F\xFD"sv) || is_skippable_zstd(head);
}

void refuse_no_text(const std::filesystem::path& file, std::string_view head) {
  if (head.starts_with("PAR1")) refuse_parquet(file);
  for (const Kind& kind : kKinds) {
    if (head.starts_with(kind.magic)) refuse_compressed(file, kind.what, kind.program);
  }
  if (is_bzip2(head)) refuse_compressed(file, "bzip2", "bzip2 -dc");
  constexpr char kConvert[] = "convert it to text, or to jsonl with the text in a field";
  for (const Format& format : kFormats) {
    if (head.starts_with(format.magic))
      refuse(file, std::string(format.what) + ", not text", kConvert);
  }
  if (is_arrow_stream(head)) refuse(file, "an Arrow stream, not text", kConvert);
  if (head.size() > 262 && head.substr(257, 5) == "ustar") {
    refuse(file, "a tar archive, not text", "unpack it first: tar -xf '" + file.string() + "'");
  }
  if (is_safetensors(head)) {
    refuse(file, "a safetensors file, not text",
           "if it holds input_ids for training, set the source's format to tokens");
  }
  if (head.starts_with("version https://git-lfs.github.com/spec/")) {
    refuse(file, "a Git LFS pointer, not the file itself", "run `git lfs pull` in its folder");
  }
}

void refuse_wide_text(const std::filesystem::path& file, std::string_view head) {
  head = head.substr(0, kLooked);
  for (const Wide& wide : kWides) {
    const bool marked = head.starts_with(wide.mark);
    if (!marked && !looks_like(wide, head)) continue;
    refuse(file,
           std::string("not UTF-8 but ") + wide.name + (marked ? "" : ", judging by its bytes"),
           std::string("convert it: iconv -f ") + wide.name + " -t UTF-8 '" + file.string() +
               "' > FILE");
  }
}

void refuse_json_document(const std::filesystem::path& file, std::string_view head) {
  const std::string_view text = trim(head.substr(0, kLooked));
  const bool zipped = file.extension() == ".gz";
  const std::string open = std::string(zipped ? "gzip.open" : "open") + "('" +
                           (file.extension() == ".zst" ? file.stem() : file).string() + "')";
  if (text.starts_with('[')) {
    refuse(file, "a JSON array, expected jsonl: an object on each line",
           std::string("convert it: python3 -c \"import ") + (zipped ? "gzip, " : "") +
               "json; [print(json.dumps(r)) for r in json.load(" + open + ")]\" > FILE.jsonl");
  }
  if (text.starts_with('{') && trim(text.substr(0, text.find('\n'))) == "{") {
    refuse(file, "a JSON object over several lines, expected jsonl: an object on each line",
           std::string("put each record on one line, for instance: python3 -c \"import ") +
               (zipped ? "gzip, " : "") + "json; print(json.dumps(json.load(" + open +
               ")))\" > FILE.jsonl");
  }
}

}  // namespace littlebit
