// gzip data in memory as a stream of bytes: one or more members, zero padding allowed behind them.
// Every member's length and checksum are verified by zlib.
#pragma once

#include <zlib.h>

#include <string>

#include "data/unpacker.h"

namespace littlebit {

class Inflater : public Unpacker {
 public:
  // `name` stands for the file in messages; `data` must outlive the object. InputError where it is
  // no gzip data.
  Inflater(std::string name, std::span<const std::byte> data);
  ~Inflater() override;
  size_t read(std::span<char> out) override;
  uint64_t consumed() const override { return consumed_; }

 private:
  bool next_member();  // false where only padding is left
  std::string name_;
  std::span<const std::byte> data_;
  uint64_t consumed_ = 0;
  z_stream stream_{};
  bool in_member_ = true;
};

}  // namespace littlebit
