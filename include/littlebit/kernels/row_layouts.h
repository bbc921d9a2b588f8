// Rows of matrices in the layouts that products read: copied, transposed, in pairs, rounded. Plain
// loops; no allocation, no threads; safe to call from several threads on different rows. Elements
// are float, or uint16_t for bfloat16. `from` and `to` do not overlap.
#pragma once

#include <cstdint>

namespace littlebit {

// Rows of a matrix somewhere in memory.
template <class T>
struct RowsOf {
  T* data;
  int64_t stride, rows, cols;
};

// to [rows of it, cols] = from, with zeros below.
void copy_rows(const RowsOf<const float>& from, const RowsOf<float>& to);
void copy_rows(const RowsOf<const uint16_t>& from, const RowsOf<uint16_t>& to);
// to [cols, rows] = from [rows, cols] transposed, with zeros beyond.
void transpose_rows(const RowsOf<const float>& from, const RowsOf<float>& to);
void transpose_rows(const RowsOf<const uint16_t>& from, const RowsOf<uint16_t>& to);
// The layouts of a product's second factor in bf16, whose rows come in pairs: number j of rows 2 i
// and 2 i + 1 side by side, [rows / 2, stride, 2]. Of `from`, or of its transpose; what is missing
// is zero; an even number of rows.
void pair_rows(const RowsOf<const uint16_t>& from, const RowsOf<uint16_t>& to);
void pair_transposed_rows(const RowsOf<const uint16_t>& from, const RowsOf<uint16_t>& to);

// to = from, rounded; or its transpose: from [cols, stride].
void round_rows(const RowsOf<const float>& from, const RowsOf<float>& to);
void round_rows(const RowsOf<const float>& from, const RowsOf<uint16_t>& to);
void round_transposed(const RowsOf<const float>& from, const RowsOf<float>& to);
void round_transposed(const RowsOf<const float>& from, const RowsOf<uint16_t>& to);

}  // namespace littlebit
