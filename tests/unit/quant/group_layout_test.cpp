// Where a group's trainables lie, and what of them a process owns.
#include "littlebit/quant/group_layout.h"

#include <catch2/catch.hpp>
#include <set>

using namespace littlebit;

namespace {

// Sizes whose matrices end anywhere: padding lies between them.
GroupLayout layout_of(int paths) {
  const std::vector<LayerPlan> plans = {
      {.name = "a", .d_in = 40, .d_out = 24, .rank = 7, .paths = paths},
      {.name = "b", .d_in = 24, .d_out = 33, .rank = 9, .paths = paths}};
  const std::vector<NamedShape> norms = {{"norm.weight", {24}}, {"norm.bias", {24}}};
  return lay_out_group(plans, {true, false}, norms);
}

}  // namespace

TEST_CASE("segments lie one behind the other, matrices aligned, scales before biases and norms") {
  for (const int paths : {1, 2}) {
    const GroupLayout layout = layout_of(paths);
    int64_t end = 0, numel = 0;
    for (const Segment& segment : layout.latents) {
      CHECK(segment.offset % kSegmentAlignment == 0);
      CHECK(segment.offset >= end);
      CHECK(segment.offset - end < kSegmentAlignment);
      end = segment.offset + segment.numel;
      numel += segment.numel;
    }
    CHECK(numel == paths * (7 * (40 + 24) + 9 * (24 + 33)));
    CHECK(layout.num_unpadded_latents() == numel);
    CHECK(layout.num_latents % kSegmentAlignment == 0);
    CHECK(layout.num_latents - end < kSegmentAlignment);
    end = 0;
    VectorKind last = VectorKind::kScale;
    for (const Segment& segment : layout.vectors) {
      CHECK(segment.offset == end);
      end += segment.numel;
      CHECK(static_cast<int>(layout.kind(segment)) >= static_cast<int>(last));
      last = layout.kind(segment);
      const bool is_norm = segment.name.starts_with("norm"), is_bias = segment.name == "a.bias";
      CHECK((last == VectorKind::kNorm) == is_norm);
      CHECK((last == VectorKind::kBias) == is_bias);
    }
    CHECK(layout.num_vectors == end);
    CHECK(layout.num_scales == paths * (24 + 7 + 7 + 40 + 33 + 9 + 9 + 24));
    CHECK(layout.num_biases == 24);
    CHECK(layout.vectors[*layout.layers[0].bias].name == "a.bias");
    CHECK_FALSE(layout.layers[1].bias);
    CHECK(layout.latents[layout.layers[1].paths.back().U].name == (paths == 2 ? "b.U_R" : "b.U"));
    CHECK(layout.vectors[layout.parameters[1]].name == "norm.bias");
  }
}

TEST_CASE("slices of every world are all of the latents, once, and so are their parts") {
  const GroupLayout layout = layout_of(2);
  for (const int64_t world : {1, 2, 3, 5, 100}) {
    CAPTURE(world);
    int64_t end = 0;
    std::map<std::string, int64_t> seen;  // elements of each segment so far
    for (int64_t rank = 0; rank < world; ++rank) {
      const Slice slice = slice_of(layout, rank, world);
      CHECK(slice.begin == end);
      CHECK(slice.begin % kSegmentAlignment == 0);
      CHECK(slice.size() <= slice_of(layout, 0, world).size());
      end = slice.end;
      for (const SegmentPart& part : parts_in(layout, slice)) {
        CHECK(part.count > 0);
        CHECK(part.begin == seen[part.segment->name]);
        seen[part.segment->name] += part.count;
        CHECK(part.place + slice.begin == part.segment->offset + part.begin);
        CHECK(part.is_whole() == (part.count == part.segment->numel));
      }
    }
    CHECK(end == layout.num_latents);
    for (const Segment& segment : layout.latents) CHECK(seen[segment.name] == segment.numel);
  }
  CHECK(slice_of(layout, 99, 100).size() == 0);
  CHECK(parts_in(layout, slice_of(layout, 99, 100)).empty());
}
