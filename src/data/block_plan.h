// Which stretches of which sources make up block i: the two ways of blocking, worked out once per
// run.
//
// A group is a sequence of stretches, read as one stream and cut into blocks; what is left at its
// end is dropped. contiguous: a group per pass over a source and those that continue it. reference:
// a group per 1000 documents, running across the sources.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace littlebit {

// What the plan needs to know of a source.
struct PlannedSource {
  int64_t num_tokens;
  std::span<const uint64_t>
      document_starts;  // one entry more than documents; not read by contiguous
  double weight;        // passes, the last one a first part
  // The passes of the source before run over this one too: files of one entry of data.train.
  bool continues = false;
};

class BlockPlan {
 public:
  static BlockPlan contiguous(std::span<const PlannedSource> sources, int64_t sequence_length);
  static BlockPlan reference(std::span<const PlannedSource> sources, int64_t sequence_length);

  int64_t num_blocks() const { return num_blocks_; }
  // Calls visit(source, first token, number of tokens) for the stretches of block `index`, in
  // order.
  using Visit = std::function<void(size_t source, int64_t first, int64_t count)>;
  void for_each_stretch(int64_t index, const Visit& visit) const;

 private:
  struct Stretch {
    size_t source;
    int64_t first, count;
  };
  struct Group {
    int64_t first_block;
    size_t first_stretch, end_stretch;  // in stretches_
  };
  explicit BlockPlan(int64_t sequence_length) : sequence_length_(sequence_length) {}
  void end_group();  // makes a group of the stretches since the last one

  int64_t sequence_length_;
  int64_t num_blocks_ = 0;
  std::vector<Stretch> stretches_;
  std::vector<Group> groups_;  // ordered by first_block, each with one block at least
};

}  // namespace littlebit
