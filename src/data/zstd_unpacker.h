// zstd data as a stream of bytes: one or more frames, skippable ones among them. zstd verifies the
// checksums of frames that have them.
#pragma once

#include <zstd.h>

#include <string>

#include "data/unpacker.h"

namespace littlebit {

class ZstdUnpacker : public Unpacker {
 public:
  // `name` stands for the file in messages; `data` must outlive the object. InputError where it is
  // no zstd data.
  ZstdUnpacker(std::string name, std::span<const std::byte> data);
  ~ZstdUnpacker() override;
  size_t read(std::span<char> out) override;
  uint64_t consumed() const override { return input_.pos; }

 private:
  std::string name_;
  ZSTD_inBuffer input_;
  ZSTD_DStream* stream_ = nullptr;
  bool in_frame_ = false;
};

}  // namespace littlebit
