// zstd's streaming interface behind a read() that knows truncation from the end.
#include "data/zstd_unpacker.h"

#include <zstd_errors.h>

#include <new>
#include <utility>

#include "data/file_kind.h"
#include "littlebit/core/error.h"

namespace littlebit {
namespace {

constexpr char kAgainHint[] = "download or compress the file again";
constexpr int kLargestWindowLog = 31;  // what `zstd --long=31` writes; by default 27 are read

}  // namespace

ZstdUnpacker::ZstdUnpacker(std::string name, std::span<const std::byte> data)
    : name_(std::move(name)), input_{data.data(), data.size(), 0} {
  if (!is_zstd({reinterpret_cast<const char*>(data.data()), data.size()})) {
    throw InputError(name_ + ": not zstd data, though its name ends in .zst",
                     "rename the file if it is plain text");
  }
  stream_ = ZSTD_createDStream();
  if (stream_ == nullptr) throw std::bad_alloc();
  ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, kLargestWindowLog);
}

ZstdUnpacker::~ZstdUnpacker() { ZSTD_freeDStream(stream_); }

size_t ZstdUnpacker::read(std::span<char> out) {
  ZSTD_outBuffer output{out.data(), out.size(), 0};
  while (output.pos < output.size && (input_.pos < input_.size || in_frame_)) {
    const size_t taken_before = input_.pos, given_before = output.pos;
    const size_t left = ZSTD_decompressStream(stream_, &output, &input_);
    if (ZSTD_isError(left) != 0) {
      if (ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation) throw std::bad_alloc();
      throw InputError(name_ + ": damaged zstd data at byte " + std::to_string(input_.pos) + ": " +
                           ZSTD_getErrorName(left),
                       kAgainHint);
    }
    in_frame_ = left != 0;
    if (in_frame_ && input_.pos == taken_before && output.pos == given_before) {
      throw InputError(name_ + ": truncated: the zstd data ends at byte " +
                           std::to_string(input_.pos) + " in the middle of a frame",
                       kAgainHint);
    }
  }
  return output.pos;
}

}  // namespace littlebit
