// gzip data in memory as a stream of bytes: one or more members, zero padding allowed behind them.
// Every member's length and checksum are verified by zlib.
#pragma once

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace littlebit {

class Inflater {
 public:
  // `name` stands for the file in messages; `data` must outlive the object. InputError where it is
  // no gzip data.
  Inflater(std::string name, std::span<const std::byte> data);
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater();

  // Fills `out` as far as there is data; 0 at the end. InputError where the data is truncated or
  // damaged.
  size_t read(std::span<char> out);
  uint64_t consumed() const { return consumed_; }  // of `data`

 private:
  bool next_member();  // false where only padding is left
  std::string name_;
  std::span<const std::byte> data_;
  uint64_t consumed_ = 0;
  z_stream stream_{};
  bool in_member_ = true;
};

}  // namespace littlebit
