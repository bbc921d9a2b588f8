// Keys and values (or latents) of earlier tokens, and the runs of only what is new. Where the
// rotation of all positions changes with the length, the cache is emptied and everything run again.
#include "littlebit/models/incremental.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <limits>

#include "checks.h"
#include "littlebit/core/error.h"
#include "rope.h"

namespace littlebit {
namespace {

// Rows added to `buffer`, whose row 0 is position `begin`, from position `from` on. Room is made by
// letting go of rows before `keep`, or by a larger buffer.
void put_rows(at::Tensor& buffer, int64_t begin, int64_t new_begin, int64_t from, int64_t capacity,
              const at::Tensor& rows) {
  if (!buffer.defined() || new_begin != begin || capacity > buffer.size(0)) {
    const at::Tensor old = buffer;
    buffer = at::empty({capacity, rows.size(1)}, rows.options());
    const int64_t kept = from - new_begin;
    if (kept > 0) buffer.narrow(0, 0, kept).copy_(old.narrow(0, new_begin - begin, kept));
  }
  buffer.narrow(0, from - new_begin, rows.size(0)).copy_(rows);
}

// What `count` tokens behind `past` see of the positions from `first` on.
at::Tensor visibility(int64_t first, int64_t past, int64_t count, int64_t window,
                      const at::TensorOptions& options) {
  const int64_t keys = past + count - first;
  at::Tensor mask = at::zeros({count, keys}, at::kFloat);
  auto entry = mask.accessor<float, 2>();
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t j = 0; j < keys; ++j) {
      const int64_t distance = (past + i) - (first + j);
      const bool visible = distance >= 0 && (window == 0 || distance < window);
      if (!visible) entry[i][j] = -std::numeric_limits<float>::infinity();
    }
  }
  return mask.to(options);
}

}  // namespace

KeyValueCache::KeyValueCache(const ModelSpec& spec, CacheKind kind)
    : kind_(kind), layers_(spec.num_layers) {}

void KeyValueCache::clear() {
  length_ = 0;
  for (Rows& rows : layers_) rows.begin = 0;
}

int64_t KeyValueCache::first_visible(int64_t window) const {
  return window > 0 ? std::max<int64_t>(0, length_ - window + 1) : 0;
}

std::pair<at::Tensor, at::Tensor> KeyValueCache::append(int64_t layer, int64_t window,
                                                        const at::Tensor& a, const at::Tensor& b) {
  Rows& rows = layers_[layer];
  const int64_t first = first_visible(window), end = length_ + a.size(0);
  int64_t begin = rows.begin;
  int64_t capacity = rows.a.defined() ? rows.a.size(0) : 0;
  if (end - begin > capacity) {
    begin = first;
    constexpr int64_t kSmallest = 32;
    capacity = std::max(capacity, std::max(kSmallest, 2 * (end - begin)));
    // A window needs no more than about twice its size, however long the text.
    if (window > 0) capacity = std::max(end - begin, std::min(capacity, 2 * window + kSmallest));
  }
  put_rows(rows.a, rows.begin, begin, length_, capacity, a);
  put_rows(rows.b, rows.begin, begin, length_, capacity, b);
  rows.begin = begin;
  return {rows.a.narrow(0, first - begin, end - first),
          rows.b.narrow(0, first - begin, end - first)};
}

IncrementalDecoder::IncrementalDecoder(const Decoder& decoder, CacheKind kind)
    : decoder_(decoder), cache_(decoder.spec(), kind) {
  if (kind != CacheKind::kLatent) return;
  for (const Block& block : decoder.parts().blocks) {
    for (const LinearSlot* slot : {&block.k, &block.v}) {
      if (slot->linear->latent_size() > 0) continue;
      throw UsageError(
          "a latent cache needs layers of two factors, and " + slot->name + " is a plain matrix",
          "take a packed LittleBit model, or the full cache");
    }
  }
}

int64_t IncrementalDecoder::bytes_per_token(const Decoder& decoder, CacheKind kind) {
  if (kind == CacheKind::kNone) return 0;
  int64_t numbers = 0;
  for (const Block& block : decoder.parts().blocks) {
    for (const LinearSlot* slot : {&block.k, &block.v}) {
      numbers += kind == CacheKind::kFull ? slot->d_out : slot->linear->latent_size();
    }
  }
  return numbers * static_cast<int64_t>(c10::elementSize(decoder.compute_dtype()));
}

at::Tensor IncrementalDecoder::extend(std::span<const int32_t> ids) {
  const c10::AutoGradMode no_grad(false);
  LB_ASSERT(!ids.empty(), "tokens to append");
  const int64_t begin = length(), end = begin + static_cast<int64_t>(ids.size());
  check_ids(decoder_.spec(), ids);
  check_length(decoder_.spec(), end);
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  const int64_t regime = rope_regime(decoder_.spec().rope, end);
  // Keys that were rotated by other tables are worth nothing, nor is what was computed from them.
  if (regime != regime_ || cache_.kind() == CacheKind::kNone) cache_.clear();
  if (regime != regime_) tables_ = {};
  regime_ = regime;
  const int64_t past = cache_.length();
  const at::Tensor x = run_from(past);
  cache_.advance(end - past);
  return decoder_.tail_forward(x.narrow(1, begin - past, end - begin))[0];
}

// The last block's output [1, n, H] of positions past .. length() - 1, those before are in the
// cache.
at::Tensor IncrementalDecoder::run_from(int64_t past) {
  const ModelSpec& spec = decoder_.spec();
  const int64_t count = length() - past;
  const SequenceContext context = context_behind(past, count);
  const at::Tensor ids =
      at::from_blob(ids_.data() + past, {1, count}, at::kInt).to(decoder_.device(), at::kLong);
  at::Tensor positions;
  if (past > 0) positions = at::arange(past, length(), ids.options());
  at::Tensor x = decoder_.embedding_forward(ids, positions);
  KeyValueCache* cache = cache_.kind() == CacheKind::kNone ? nullptr : &cache_;
  for (int64_t layer = 0; layer < spec.num_layers; ++layer) {
    x = decoder_.block_forward(layer, x, context, cache);
  }
  return x;
}

SequenceContext IncrementalDecoder::context_behind(int64_t past, int64_t count) {
  if (past == 0) return decoder_.context(count);
  const ModelSpec& spec = decoder_.spec();
  if (tables_.length < length()) {
    // The bands of so many positions are of no use here and not cheap.
    tables_ = decoder_.rotation_tables(2 * length(), length());
  }
  SequenceContext context = tables_;
  context.length = count;
  if (count == 1) return context;
  for (int64_t layer = 0; layer < spec.num_layers; ++layer) {
    const int64_t window = spec.layer_window(layer);
    if (context.masks.count(window) != 0) continue;
    const auto options =
        at::TensorOptions().dtype(decoder_.compute_dtype()).device(decoder_.device());
    context.masks[window] = visibility(cache_.first_visible(window), past, count, window, options);
  }
  return context;
}

}  // namespace littlebit
