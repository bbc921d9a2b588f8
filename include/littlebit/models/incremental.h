// A decoder with a cache: tokens are appended, and only they are run. The results are those of one
// run over everything so far, also with windows and with rotation tables that depend on the length.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "littlebit/models/decoder.h"

namespace littlebit {

// What is kept per token and layer: keys and values; or the latents in front of the second factor
// of k_proj and v_proj (paper, section on inference), from which keys and values are made anew for
// every step; or nothing, and everything is run again.
enum class CacheKind { kFull, kLatent, kNone };

// Rows of positions begin .. end - 1; a windowed layer lets go of those out of sight.
class KeyValueCache {
 public:
  KeyValueCache(const ModelSpec& spec, CacheKind kind);

  CacheKind kind() const { return kind_; }
  int64_t length() const { return length_; }  // positions of complete calls
  void advance(int64_t count) { length_ += count; }
  void clear();

  // The first position that a token at position length() sees in this layer.
  int64_t first_visible(int64_t window) const;

  // Adds rows a, b [n, width] at positions length() ..; returns the layer's rows from
  // first_visible() to the last one, views that the next call may overwrite.
  std::pair<at::Tensor, at::Tensor> append(int64_t layer, int64_t window, const at::Tensor& a,
                                           const at::Tensor& b);

 private:
  struct Rows {
    at::Tensor a, b;    // [capacity, width]
    int64_t begin = 0;  // the position of row 0
  };
  CacheKind kind_;
  int64_t length_ = 0;
  std::vector<Rows> layers_;
};

// Not thread-safe. The decoder outlives it.
class IncrementalDecoder {
 public:
  // UsageError: kLatent for a model whose k_proj and v_proj are plain matrices.
  IncrementalDecoder(const Decoder& decoder, CacheKind kind);

  // Appends ids (at least one) and returns z [n, E], what the head reads, of the new positions.
  // No autograd. InputError: an id outside the vocabulary, more positions than the model learned.
  at::Tensor extend(std::span<const int32_t> ids);

  int64_t length() const { return static_cast<int64_t>(ids_.size()); }

  // What one more token takes, in all layers, as long as no window drops another for it.
  static int64_t bytes_per_token(const Decoder& decoder, CacheKind kind);

 private:
  at::Tensor run_from(int64_t past);
  SequenceContext context_behind(int64_t past, int64_t count);

  const Decoder& decoder_;
  KeyValueCache cache_;
  std::vector<int32_t> ids_;
  SequenceContext tables_;  // rotation of more positions than there are yet
  int64_t regime_ = 0;      // rope_regime() of what the cache holds
};

}  // namespace littlebit
