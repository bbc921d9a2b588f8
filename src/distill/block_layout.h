// Linear layers of a block whose matrices come and go, and where these stand in a flat buffer.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "littlebit/models/decoder.h"
#include "littlebit/nn/linear.h"

namespace littlebit {

class VisitingLinear : public Linear {
 public:
  at::Tensor forward(const at::Tensor& x) const override;

  at::Tensor weight, bias;
};

// A matrix or bias inside a block's flat buffer.
struct Place {
  VisitingLinear* linear;
  bool is_bias;
  TensorSource source;
  std::vector<int64_t> shape;
  int64_t begin, numel;

  at::Tensor& tensor() const { return is_bias ? linear->bias : linear->weight; }
};

// One behind the other, each at a multiple of kAlignment.
struct BlockLayout {
  static constexpr int64_t kAlignment = 128;  // elements: where products like to read from

  std::vector<Place> places;
  int64_t numel = 0;  // of the flat buffer, a multiple of kAlignment

  // From here to hide() the block's layers have their parts of `flat`.
  void show(const at::Tensor& flat) const;
  void hide() const;
};

// Fills the slots of the decoder's block with layers that have no matrices yet.
BlockLayout lay_out_block(Decoder& decoder, int64_t layer);

}  // namespace littlebit
