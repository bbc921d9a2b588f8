// zlib's streaming interface behind a read() that knows truncation from the end.
#include "data/inflater.h"

#include <algorithm>
#include <new>
#include <utility>

#include "littlebit/core/error.h"

namespace littlebit {
namespace {

constexpr size_t kMaxStep = 1u << 30;  // zlib counts in 32 bits
constexpr char kAgainHint[] = "download or compress the file again";
constexpr int kGzipOnly = 16 + MAX_WBITS;

bool starts_member(std::span<const std::byte> data) {
  return data.size() >= 2 && data[0] == std::byte{0x1F} && data[1] == std::byte{0x8B};
}

}  // namespace

Inflater::Inflater(std::string name, std::span<const std::byte> data)
    : name_(std::move(name)), data_(data) {
  if (!starts_member(data_)) {
    throw InputError(name_ + ": not gzip data, though its name ends in .gz",
                     "rename the file if it is plain text");
  }
  if (inflateInit2(&stream_, kGzipOnly) != Z_OK) throw std::bad_alloc();
}

Inflater::~Inflater() { inflateEnd(&stream_); }

bool Inflater::next_member() {
  const std::span<const std::byte> left = data_.subspan(consumed_);
  if (starts_member(left)) {
    inflateReset(&stream_);
    return true;
  }
  const auto is_zero = [](std::byte value) { return value == std::byte{0}; };
  if (!std::all_of(left.begin(), left.end(), is_zero)) {
    throw InputError(
        name_ + ": damaged gzip data: something else begins at byte " + std::to_string(consumed_),
        kAgainHint);
  }
  consumed_ = data_.size();
  return false;
}

size_t Inflater::read(std::span<char> out) {
  size_t filled = 0;
  while (in_member_ && filled < out.size()) {
    const size_t available = std::min<size_t>(data_.size() - consumed_, kMaxStep);
    const size_t room = std::min(out.size() - filled, kMaxStep);
    stream_.next_in =
        reinterpret_cast<Bytef*>(const_cast<std::byte*>(data_.data() + consumed_));  // only read
    stream_.avail_in = static_cast<uInt>(available);
    stream_.next_out = reinterpret_cast<Bytef*>(out.data() + filled);
    stream_.avail_out = static_cast<uInt>(room);
    const int result = inflate(&stream_, Z_NO_FLUSH);
    const size_t taken = available - stream_.avail_in;
    const size_t given = room - stream_.avail_out;
    consumed_ += taken;
    filled += given;
    if (result == Z_STREAM_END) {
      in_member_ = next_member();
    } else if (result == Z_MEM_ERROR) {
      throw std::bad_alloc();
    } else if (result == Z_DATA_ERROR || result == Z_NEED_DICT) {
      throw InputError(name_ + ": damaged gzip data at byte " + std::to_string(consumed_) + ": " +
                           (stream_.msg == nullptr ? "it requires a dictionary" : stream_.msg),
                       kAgainHint);
    } else if (taken == 0 && given == 0) {
      throw InputError(name_ + ": truncated: the gzip data ends at byte " +
                           std::to_string(consumed_) + " in the middle of its stream",
                       kAgainHint);
    }
  }
  return filled;
}

}  // namespace littlebit
