// All sequences of a call stand side by side in one row [1, T]: no padding, one product per linear
// layer; attention is taken part by part. A part is a context with branches whose runs rotate
// alike. A context is run once for all branches of a part: to run it again for each would be most
// of the work. A branch's last token is not run at all, since nothing is predicted from it.
#include "littlebit/models/branches.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <limits>
#include <map>

#include "checks.h"
#include "littlebit/core/error.h"
#include "rope.h"

namespace littlebit {
namespace {

// A context with those of its branches that share rotation tables.
struct Part {
  int64_t regime = 0;
  std::vector<size_t> branches;
  int64_t longest = 0;  // tokens of the context and the longest branch as they are run
};

int64_t size_of(std::span<const int32_t> ids) { return static_cast<int64_t>(ids.size()); }

std::vector<Part> parts_of(const ModelSpec& spec, const BranchedSequence& sequence) {
  LB_ASSERT(!sequence.context.empty() && !sequence.branches.empty(), "a context and branches");
  std::map<int64_t, Part> by_regime;
  for (size_t b = 0; b < sequence.branches.size(); ++b) {
    LB_ASSERT(!sequence.branches[b].empty(), "tokens in a branch");
    // Some rotations depend on the length of the whole sequence (dynamic, longrope): branches on
    // either side of such a border cannot share the context's keys.
    const int64_t length = size_of(sequence.context) + size_of(sequence.branches[b]) - 1;
    const int64_t regime = rope_regime(spec.rope, length);
    Part& part = by_regime[regime];
    part.regime = regime;
    part.branches.push_back(b);
    part.longest = std::max(part.longest, length);
  }
  std::vector<Part> parts;
  for (auto& [regime, part] : by_regime) parts.push_back(std::move(part));
  return parts;
}

// Who sees whom in a part, tokens given by position and branch (-1: context).
at::Tensor part_mask(std::span<const int64_t> positions, std::span<const int64_t> branch,
                     int64_t window, const at::TensorOptions& options) {
  // By loops, on the CPU: little beside what the model computes for as many tokens.
  const int64_t length = static_cast<int64_t>(positions.size());
  at::Tensor mask = at::full({length, length}, -std::numeric_limits<float>::infinity(), at::kFloat);
  float* entries = mask.data_ptr<float>();
  for (int64_t i = 0; i < length; ++i) {
    for (int64_t j = 0; j <= i; ++j) {
      const bool related = branch[j] < 0 || branch[j] == branch[i];
      const bool near = window == 0 || positions[i] - positions[j] < window;
      if (related && near) entries[i * length + j] = 0;
    }
  }
  return mask.to(options);
}

class Row {
 public:
  Row(const Decoder& decoder, std::span<const BranchedSequence> sequences) : decoder_(decoder) {
    for (const BranchedSequence& sequence : sequences) {
      answers_.emplace_back(sequence.branches.size());
      for (const Part& part : parts_of(decoder.spec(), sequence)) append(sequence, part);
    }
    context_.length = size_of(ids_);
    join_tables();
  }

  at::Tensor predictions() const {
    const at::Device device = decoder_.device();
    at::Tensor x = decoder_.embedding_forward(
        at::tensor(at::ArrayRef<int32_t>(ids_), at::kLong).unsqueeze(0).to(device),
        at::tensor(at::ArrayRef<int64_t>(positions_), at::kLong).to(device));
    for (int64_t layer = 0; layer < decoder_.spec().num_layers; ++layer) {
      x = decoder_.block_forward(layer, x, context_);
    }
    // The tail, and with it the head's many columns, only where something is predicted.
    std::vector<int64_t> rows;
    for (const auto& branches : answers_) {
      for (const auto& branch : branches) rows.insert(rows.end(), branch.begin(), branch.end());
    }
    return decoder_.tail_forward(
        x[0].index_select(0, at::tensor(at::ArrayRef<int64_t>(rows), at::kLong).to(device)));
  }

 private:
  void append(const BranchedSequence& sequence, const Part& part) {
    const int64_t begin = size_of(ids_), context_size = size_of(sequence.context);
    std::vector<int64_t> branch_of(context_size, -1);
    ids_.insert(ids_.end(), sequence.context.begin(), sequence.context.end());
    for (int64_t i = 0; i < context_size; ++i) positions_.push_back(i);
    int64_t with_tokens = 0;
    for (const size_t b : part.branches) {
      const std::span<const int32_t> branch = sequence.branches[b];
      std::vector<int64_t>& rows = answers_.back()[b];
      rows.push_back(begin + context_size - 1);  // a branch's first token comes behind the context
      for (int64_t i = 0; i + 1 < size_of(branch); ++i) {
        rows.push_back(size_of(ids_));
        ids_.push_back(branch[i]);
        positions_.push_back(context_size + i);  // as if no other branch were there
        branch_of.push_back(static_cast<int64_t>(b));
      }
      with_tokens += branch.size() > 1 ? 1 : 0;
    }
    // One branch with tokens behind its context is plainly causal and needs no mask.
    SequencePart placed{.length = size_of(ids_) - begin};
    const ModelSpec& spec = decoder_.spec();
    const auto options =
        at::TensorOptions().dtype(decoder_.compute_dtype()).device(decoder_.device());
    for (int64_t layer = 0; with_tokens > 1 && layer < spec.num_layers; ++layer) {
      const int64_t window = spec.layer_window(layer);
      if (placed.masks.count(window) != 0) continue;
      placed.masks[window] =
          part_mask(std::span(positions_).subspan(begin), branch_of, window, options);
    }
    context_.parts.push_back(std::move(placed));
    regimes_.push_back(part.regime);
    longest_[part.regime] = std::max(longest_[part.regime], part.longest);
  }

  // Each part's rotation, of its own length.
  void join_tables() {
    std::map<int64_t, SequenceContext> tables;
    for (const auto& [regime, length] : longest_) {
      tables[regime] = decoder_.rotation_tables(length, length);
    }
    constexpr at::Tensor SequenceContext::*kTables[] = {
        &SequenceContext::cos, &SequenceContext::sin, &SequenceContext::local_cos,
        &SequenceContext::local_sin};
    const at::Tensor places = at::tensor(at::ArrayRef<int64_t>(positions_), at::kLong);
    for (const auto table : kTables) {
      if (!(tables.begin()->second.*table).defined()) continue;
      std::vector<at::Tensor> joined;
      int64_t begin = 0;
      for (size_t p = 0; p < regimes_.size(); ++p) {
        const int64_t length = context_.parts[p].length;
        const at::Tensor& of_part = tables[regimes_[p]].*table;
        joined.push_back(
            of_part.index_select(0, places.narrow(0, begin, length).to(of_part.device())));
        begin += length;
      }
      context_.*table = at::cat(joined);
    }
  }

  const Decoder& decoder_;
  std::vector<int32_t> ids_;
  std::vector<int64_t> positions_;
  std::vector<std::vector<std::vector<int64_t>>> answers_;  // per branch the rows that predict it
  std::vector<int64_t> regimes_;                            // per part
  std::map<int64_t, int64_t> longest_;                      // by regime
  SequenceContext context_;
};

}  // namespace

int64_t tokens_run(const ModelSpec& spec, const BranchedSequence& sequence) {
  int64_t tokens = 0;
  for (const Part& part : parts_of(spec, sequence)) {
    tokens += size_of(sequence.context);
    for (const size_t b : part.branches) tokens += size_of(sequence.branches[b]) - 1;
  }
  return tokens;
}

at::Tensor branch_predictions(const Decoder& decoder, std::span<const BranchedSequence> sequences) {
  const c10::AutoGradMode no_grad(false);
  LB_ASSERT(!sequences.empty(), "sequences to run");
  for (const BranchedSequence& sequence : sequences) {
    for (const Part& part : parts_of(decoder.spec(), sequence)) {
      check_length(decoder.spec(), part.longest);
    }
    check_ids(decoder.spec(), sequence.context);
    for (const auto& branch : sequence.branches) check_ids(decoder.spec(), branch);
  }
  return Row(decoder, sequences).predictions();
}

}  // namespace littlebit
