// What stands between the products of an attention in blocks: scores to weights, and back. Plain
// loops over one block; no allocation, no threads; safe to call from several threads on different
// blocks. Elements are float, or uint16_t for bfloat16; computes in fp32.
#pragma once

#include <cstdint>

#include "littlebit/kernels/instructions.h"
#include "littlebit/kernels/row_layouts.h"

namespace littlebit {

// Who sees whom, and what a score becomes: query i sees the keys j with i - window < j <= i
// (window 0: all j <= i), and of s remains scale * s, softcap * tanh(scale * s / softcap) where
// softcap > 0.
struct AttentionRule {
  int64_t window;
  float scale, softcap;
};

// Strides of blocks and the numbers of a forward block's keys are multiples of 16.
//
// A forward block: scores of `queries` rows from first_query on with `keys` columns from first_key
// on, both counted in the sequence.
template <class T>
struct AttentionBlock {
  AttentionRule rule;
  int64_t first_query, queries, first_key, keys;
  float* scores;  // [queries, stride]; overwritten
  T* weights;     // [queries, stride]: e^(score - most), 0 for what is not seen; may be `scores`
  int64_t stride;
  float* most;    // [queries]: the largest score so far; -infinity before the first block
  float* sum;     // [queries] of weights
  float* output;  // [queries, size], what the weights so far have mixed; nullptr: nothing yet
  int64_t size;
};
// Updates `most` and `sum`, scales `output` down to the new `most`, makes the weights. A score that
// is no number makes the row's sum one that is none.
void attention_weights(const AttentionBlock<float>& block, Instructions use = best_instructions());
void attention_weights(const AttentionBlock<uint16_t>& block,
                       Instructions use = best_instructions());

// A backward block: scores and gradients by weights, [keys, stride] with queries in the columns.
template <class T>
struct AttentionGradientBlock {
  AttentionRule rule;
  int64_t first_query, queries, first_key, keys;
  const float* scores;
  const float* d_weights;
  const float* log_sum;  // [queries, up to a multiple of 16]: of e^score
  const float* delta;    // [queries]: the sum of weight * d_weight
  T* weights;            // [keys, stride]; may be `scores`
  T* d_scores;           // [keys, stride], by the products before the scale; may be `d_weights`
  int64_t stride;
};
// Columns from `queries` on are zeros.
void attention_gradient(const AttentionGradientBlock<float>& block,
                        Instructions use = best_instructions());
void attention_gradient(const AttentionGradientBlock<uint16_t>& block,
                        Instructions use = best_instructions());

// y [rows, cols] = x / sum by rows, log_sum = most + log(sum).
template <class T>
struct AttentionEnd {
  RowsOf<const float> x;
  const float* most;
  const float* sum;
  T* y;
  int64_t y_stride;
  float* log_sum;
};
void end_attention(const AttentionEnd<float>& end, Instructions use = best_instructions());
void end_attention(const AttentionEnd<uint16_t>& end, Instructions use = best_instructions());

// delta[i] = the sum over row i of dy * y, less d_log_sum[i] (nullptr: 0).
template <class T>
struct AttentionDelta {
  RowsOf<const T> dy;
  const T* y;
  int64_t y_stride;
  const float* d_log_sum;
  float* delta;
};
void attention_delta(const AttentionDelta<float>& job, Instructions use = best_instructions());
void attention_delta(const AttentionDelta<uint16_t>& job, Instructions use = best_instructions());

}  // namespace littlebit
