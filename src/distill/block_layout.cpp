// See block_layout.h.
#include "block_layout.h"

#include <utility>

#include "littlebit/core/error.h"
#include "littlebit/ops/affine.h"

namespace littlebit {

at::Tensor VisitingLinear::forward(const at::Tensor& x) const {
  LB_ASSERT(weight.defined(), "the block was acquired");
  return affine(x, weight, bias);
}

void BlockLayout::show(const at::Tensor& flat) const {
  for (const Place& place : places) {
    place.tensor() = flat.narrow(0, place.begin, place.numel).view(place.shape);
  }
}

void BlockLayout::hide() const {
  for (const Place& place : places) place.tensor().reset();
}

BlockLayout lay_out_block(Decoder& decoder, int64_t layer) {
  BlockLayout layout;
  const auto place = [&](VisitingLinear* linear, bool is_bias, const TensorSource& source,
                         std::vector<int64_t> shape) {
    int64_t numel = 1;
    for (const int64_t size : shape) numel *= size;
    layout.places.push_back({.linear = linear,
                             .is_bias = is_bias,
                             .source = source,
                             .shape = std::move(shape),
                             .begin = layout.numel,
                             .numel = numel});
    constexpr int64_t kAlignment = BlockLayout::kAlignment;
    // Every tensor begins at a multiple, wherever the one before it ends.
    layout.numel += (numel + kAlignment - 1) / kAlignment * kAlignment;
  };
  // The slot gets a layer without a weight: one of this layout is shown to it while the block is
  // here. Group 0 is the embedding, so block `layer` is group layer + 1.
  decoder.visit_linears(layer + 1, [&](LinearSlot& slot) {
    auto linear = std::make_unique<VisitingLinear>();
    place(linear.get(), false, slot.weight, {slot.d_out, slot.d_in});
    if (slot.has_bias) place(linear.get(), true, slot.bias, {slot.d_out});
    slot.linear = std::move(linear);
  });
  return layout;
}

}  // namespace littlebit
