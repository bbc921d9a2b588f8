// A group is a list of stretches of sources, read as one stream and cut into blocks:
//
//     group     |stretch of file 1      |stretch of file 2        |rest|
//     blocks    |block |block |block |block |block |block |block |
//
// Groups are few (passes, or thousands of documents), so a block is found by a binary search and a
// short walk.
#include "data/block_plan.h"

#include <algorithm>
#include <cmath>

#include "littlebit/core/error.h"

namespace littlebit {
namespace {

// The authors' batch of documents (specs section 6).
constexpr int64_t kGroupDocuments = 1000;

// Calls visit(n) per pass over `count` things: count for each whole pass, then the first part of a
// fraction.
template <class Visit>
void for_each_pass(double weight, int64_t count, const Visit& visit) {
  const double whole = std::floor(weight);
  for (int64_t pass = 0; pass < static_cast<int64_t>(whole); ++pass) visit(count);
  // The small term keeps 0.29 of 100 at 29: weights are decimal fractions.
  const auto part = static_cast<int64_t>((weight - whole) * static_cast<double>(count) + 1e-6);
  if (part > 0) visit(std::min(part, count));
}

// Calls visit(sources that are passed over together, the number of the first).
template <class Visit>
void for_each_entry(std::span<const PlannedSource> sources, const Visit& visit) {
  for (size_t first = 0; first < sources.size();) {
    size_t end = first + 1;
    while (end < sources.size() && sources[end].continues) ++end;
    visit(sources.subspan(first, end - first), first);
    first = end;
  }
}

int64_t num_documents(const PlannedSource& source) {
  LB_ASSERT(!source.document_starts.empty(), "reference blocking of a source without documents");
  return static_cast<int64_t>(source.document_starts.size()) - 1;
}

}  // namespace

// A group is text that is cut as one stream: its tokens beyond the last whole block are dropped.
void BlockPlan::end_group() {
  const size_t first = groups_.empty() ? 0 : groups_.back().end_stretch;
  int64_t tokens = 0;
  for (size_t i = first; i < stretches_.size(); ++i) tokens += stretches_[i].count;
  const int64_t blocks = tokens / sequence_length_;
  // A group without a whole block is forgotten, so that first_block rises from group to group:
  // for_each_stretch() searches by it.
  if (blocks == 0) {
    stretches_.resize(first);
    return;
  }
  groups_.push_back({num_blocks_, first, stretches_.size()});
  num_blocks_ += blocks;
}

BlockPlan BlockPlan::contiguous(std::span<const PlannedSource> sources, int64_t sequence_length) {
  BlockPlan plan(sequence_length);
  // The files of one entry are one stream, so blocks run across their borders. Each pass is a group
  // of its own: no block holds the end of an entry and its beginning again.
  for_each_entry(sources, [&](std::span<const PlannedSource> entry, size_t first) {
    int64_t tokens = 0;
    for (const PlannedSource& source : entry) tokens += source.num_tokens;
    // A weight of 2.5 reads an entry twice and then its first half.
    for_each_pass(entry.front().weight, tokens, [&](int64_t count) {
      for (size_t i = 0; i < entry.size() && count > 0; ++i) {
        const int64_t taken = std::min(count, entry[i].num_tokens);
        plan.stretches_.push_back({first + i, 0, taken});
        count -= taken;
      }
      plan.end_group();
    });
  });
  return plan;
}

BlockPlan BlockPlan::reference(std::span<const PlannedSource> sources, int64_t sequence_length) {
  BlockPlan plan(sequence_length);
  // Outside the loop over sources and passes: the authors join all documents before they divide
  // them, so a group may begin in one source and end in the next.
  int64_t room = kGroupDocuments;
  const auto add = [&](size_t s, int64_t count) {
    // Documents that follow each other in a source are one stretch, however many they are.
    const std::span<const uint64_t> starts = sources[s].document_starts;
    for (int64_t document = 0; document < count;) {
      const int64_t end = std::min(document + room, count);
      const auto first = static_cast<int64_t>(starts[static_cast<size_t>(document)]);
      const auto last = static_cast<int64_t>(starts[static_cast<size_t>(end)]);
      plan.stretches_.push_back({s, first, last - first});
      room -= end - document;
      document = end;
      if (room > 0) continue;
      plan.end_group();
      room = kGroupDocuments;
    }
  };
  for_each_entry(sources, [&](std::span<const PlannedSource> entry, size_t first) {
    int64_t documents = 0;
    for (const PlannedSource& source : entry) documents += num_documents(source);
    for_each_pass(entry.front().weight, documents, [&](int64_t count) {
      for (size_t i = 0; i < entry.size() && count > 0; ++i) {
        const int64_t taken = std::min(count, num_documents(entry[i]));
        add(first + i, taken);
        count -= taken;
      }
    });
  });
  plan.end_group();
  return plan;
}

void BlockPlan::for_each_stretch(int64_t index, const Visit& visit) const {
  LB_ASSERT(index >= 0 && index < num_blocks_, "block index out of range");
  const auto next =
      std::upper_bound(groups_.begin(), groups_.end(), index,
                       [](int64_t block, const Group& group) { return block < group.first_block; });
  // There is one before `next`: the first group begins with block 0. It has the tokens of all its
  // blocks, so the walk below ends inside it.
  const Group& group = *(next - 1);
  // The block's first token, counted in the group; a walk over stretches finds it, and goes on
  // until the block is full.
  int64_t skip = (index - group.first_block) * sequence_length_;
  int64_t wanted = sequence_length_;
  for (size_t i = group.first_stretch; wanted > 0; ++i) {
    const Stretch& stretch = stretches_[i];
    if (skip >= stretch.count) {
      skip -= stretch.count;
      continue;
    }
    const int64_t count = std::min(stretch.count - skip, wanted);
    visit(stretch.source, stretch.first + skip, count);
    wanted -= count;
    skip = 0;
  }
}

}  // namespace littlebit
