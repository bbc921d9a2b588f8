// One table look-up adds 4 columns to 16 rows. The AVX-512 and AVX2 forms and the plain one add the
// same numbers in the same order, but for the halves that the accumulators split a row into.
//
// A product with signs needs no multiplication: 4 inputs have 16 signed sums, which fit the
// registers that a permutation reads, and 4 bits of a row say which of them it needs. The tables
// are made once and serve all rows. Rows are interleaved by 16 so that one load gives the same
// columns of 16 rows.
#include "littlebit/kernels/sign_product.h"

#include <algorithm>
#include <cstring>

#include "sign_words.h"
#include "variants.h"

#if defined(__x86_64__) && defined(__GNUC__)
// GCC 12 calls the operand that its own intrinsics leave undefined on purpose uninitialised.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#define LITTLEBIT_X86 1
#endif

namespace littlebit {
namespace {

constexpr int64_t kBlock = InterleavedSigns::kBlock;
constexpr int kTablesPerWord = 8;
constexpr int kTable = 16;                             // floats of a table
constexpr int64_t kPerWord = kTablesPerWord * kTable;  // table floats of a word of columns

// A pass over kBlocks blocks of 16 rows, which lie `stride` words apart.
using Pass = void (*)(const uint32_t* words, int64_t stride, int64_t per_row, const float* tables,
                      float* y);

void pass_plain(const uint32_t* words, int64_t /*stride*/, int64_t per_row, const float* tables,
                float* y) {
  float sum[kBlock] = {};
  for (int64_t w = 0; w < per_row; ++w) {
    const uint32_t* block = words + w * kBlock;
    // Eight tables serve the 32 columns of a word, four bits each.
    for (int j = 0; j < kTablesPerWord; ++j) {
      const float* table = tables + w * kPerWord + j * kTable;
      for (int64_t r = 0; r < kBlock; ++r) sum[r] += table[(block[r] >> (4 * j)) & 15];
    }
  }
  std::memcpy(y, sum, sizeof(sum));
}

#ifdef LITTLEBIT_X86
template <int kBlocks>
__attribute__((target("avx512f"))) void pass_avx512(const uint32_t* words, int64_t stride,
                                                    int64_t per_row, const float* tables,
                                                    float* y) {
  // Two sums per row: with one, each addition would wait for the one before it. Several blocks
  // share the loads of the tables.
  __m512 even[kBlocks], odd[kBlocks];
  for (int k = 0; k < kBlocks; ++k) even[k] = odd[k] = _mm512_setzero_ps();
  for (int64_t w = 0; w < per_row; ++w) {
    __m512i bits[kBlocks];
    for (int k = 0; k < kBlocks; ++k) {
      bits[k] = _mm512_loadu_si512(words + k * stride + w * kBlock);
    }
    const float* table = tables + w * kPerWord;
#pragma GCC unroll 4
    for (int j = 0; j < kTablesPerWord; j += 2) {
      const __m512 first = _mm512_loadu_ps(table + j * kTable);
      const __m512 second = _mm512_loadu_ps(table + (j + 1) * kTable);
      for (int k = 0; k < kBlocks; ++k) {
        // No mask: the permutation reads the lowest 4 bits of each lane.
        even[k] = _mm512_add_ps(even[k], _mm512_permutexvar_ps(bits[k], first));
        odd[k] =
            _mm512_add_ps(odd[k], _mm512_permutexvar_ps(_mm512_srli_epi32(bits[k], 4), second));
        bits[k] = _mm512_srli_epi32(bits[k], 8);
      }
    }
  }
  for (int k = 0; k < kBlocks; ++k) {
    _mm512_storeu_ps(y + k * kBlock, _mm512_add_ps(even[k], odd[k]));
  }
}

// Tables of 16 as two of 8: the fourth bit chooses.
__attribute__((target("avx2"))) void pass_avx2(const uint32_t* words, int64_t /*stride*/,
                                               int64_t per_row, const float* tables, float* y) {
  __m256 sum[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
  for (int64_t w = 0; w < per_row; ++w) {
    __m256i bits[2];
    for (int h = 0; h < 2; ++h) {
      bits[h] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words + w * kBlock + 8 * h));
    }
    const float* table = tables + w * kPerWord;
    for (int j = 0; j < kTablesPerWord; ++j, table += kTable) {
      const __m256 low = _mm256_loadu_ps(table), high = _mm256_loadu_ps(table + 8);
      for (int h = 0; h < 2; ++h) {
        // The permutation reads 3 bits; the fourth becomes the sign bit, by which blendv chooses.
        const __m256 upper = _mm256_castsi256_ps(_mm256_slli_epi32(bits[h], 28));
        sum[h] =
            _mm256_add_ps(sum[h], _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, bits[h]),
                                                   _mm256_permutevar8x32_ps(high, bits[h]), upper));
        bits[h] = _mm256_srli_epi32(bits[h], 4);
      }
    }
  }
  _mm256_storeu_ps(y, sum[0]);
  _mm256_storeu_ps(y + 8, sum[1]);
}
#endif

struct Passes {
  Pass four, one;  // four: 4 blocks at a time, nullptr where that gains nothing
};

Passes passes_of(Instructions use) {
#ifdef LITTLEBIT_X86
  if (use == Instructions::kAvx512) return {pass_avx512<4>, pass_avx512<1>};
  if (use == Instructions::kAvx2) return {nullptr, pass_avx2};
#endif
  return {nullptr, pass_plain};
}

LITTLEBIT_LOOP void make_tables(const float* x, float* tables, int64_t groups) {
  for (int64_t g = 0; g < groups; ++g, x += 4, tables += kTable) {
    for (int m = 0; m < kTable; ++m) {
      // Bit k of m is the sign of x[k], as bit k of four sign bits is.
      const float a = (m & 1) != 0 ? -x[0] : x[0], b = (m & 2) != 0 ? -x[1] : x[1];
      const float c = (m & 4) != 0 ? -x[2] : x[2], d = (m & 8) != 0 ? -x[3] : x[3];
      tables[m] = (a + b) + (c + d);
    }
  }
}

template <class T>
LITTLEBIT_LOOP void expand(const InterleavedExpansion<T>* job, int64_t row_begin, int64_t row_end) {
  const int64_t per_row = job->signs.words_per_row(), cols = job->signs.cols;
  T constant[32];
  for (int64_t r = row_begin; r < row_end; ++r) {
    const T row_scale = job->row_scale ? job->row_scale[r] : one<T>();
    for (T& c : constant) c = row_scale;
    // A row's words lie 16 apart.
    const uint32_t* words = job->signs.words + (r / kBlock) * per_row * kBlock + r % kBlock;
    T* out = job->out + (r - row_begin) * job->out_stride;
    for (int64_t c = 0; c < cols; c += 32, words += kBlock) {
      const T* scale = job->column_scale ? job->column_scale + c : constant;
      const int64_t count = std::min<int64_t>(32, cols - c);
      if (count == 32) {
        expand_word(*words, scale, out + c);
        continue;
      }
      // The last word of a row may reach beyond the matrix, whose memory need not go on there.
      T last_scale[32] = {}, last[32];
      std::memcpy(last_scale, scale, count * sizeof(T));
      expand_word(*words, last_scale, last);
      std::memcpy(out + c, last, count * sizeof(T));
    }
  }
}

LITTLEBIT_LOOP void tables_of(const float* x, const float* scale, int64_t cols, float* tables) {
  for (int64_t c = 0; c < cols; c += 32, tables += kPerWord) {
    const int64_t count = std::min<int64_t>(32, cols - c);
    // Zeros behind the last column, so that the bits there do not matter.
    float scaled[32] = {};
    for (int64_t i = 0; i < count; ++i) scaled[i] = scale ? x[c + i] * scale[c + i] : x[c + i];
    make_tables(scaled, tables, kTablesPerWord);
  }
}

LITTLEBIT_LOOP void multiply_rows(const uint16_t* w, int64_t cols, const float* x,
                                  int64_t row_begin, int64_t row_end, float* y) {
  // Many sums per row, so that vectors of any width are filled and additions do not wait for each
  // other.
  constexpr int64_t kLanes = 64;
  for (int64_t r = row_begin; r < row_end; ++r) {
    const uint16_t* row = w + r * cols;
    float sums[kLanes] = {};
    int64_t c = 0;
    for (; c + kLanes <= cols; c += kLanes) {
      for (int64_t i = 0; i < kLanes; ++i) {
        const uint32_t bits = static_cast<uint32_t>(row[c + i]) << 16;
        float value;
        std::memcpy(&value, &bits, sizeof(value));
        sums[i] += value * x[c + i];
      }
    }
    for (int64_t i = 0; c < cols; ++c, ++i) {
      const uint32_t bits = static_cast<uint32_t>(row[c]) << 16;
      float value;
      std::memcpy(&value, &bits, sizeof(value));
      sums[i] += value * x[c];
    }
    for (int64_t half = kLanes / 2; half > 0; half /= 2) {
      for (int64_t i = 0; i < half; ++i) sums[i] += sums[i + half];
    }
    y[r] = sums[0];
  }
}

}  // namespace

void interleave_signs(const uint32_t* from, int64_t first_bit, int64_t row_bits, int64_t rows,
                      int64_t cols, uint32_t* to) {
  const InterleavedSigns shape{nullptr, rows, cols};
  const int64_t per_row = shape.words_per_row();
  std::fill(to, to + shape.num_words(), 0);
  for (int64_t r = 0; r < rows; ++r) {
    uint32_t* out = to + (r / kBlock) * per_row * kBlock + r % kBlock;
    for (int64_t w = 0; w < per_row; ++w, out += kBlock) {
      const int64_t count = std::min<int64_t>(32, cols - 32 * w);
      const uint32_t mask = count == 32 ? ~uint32_t{0} : (uint32_t{1} << count) - 1;
      *out = load_bits(from, first_bit + r * row_bits + 32 * w, count) & mask;
    }
  }
}

void expand_interleaved(const InterleavedExpansion<float>& job, int64_t row_begin, int64_t row_end,
                        Instructions use) {
  run_variant<expand<float>>(use, &job, row_begin, row_end);
}
void expand_interleaved(const InterleavedExpansion<double>& job, int64_t row_begin, int64_t row_end,
                        Instructions use) {
  run_variant<expand<double>>(use, &job, row_begin, row_end);
}
void expand_interleaved(const InterleavedExpansion<uint16_t>& job, int64_t row_begin,
                        int64_t row_end, Instructions use) {
  run_variant<expand<uint16_t>>(use, &job, row_begin, row_end);
}

void build_sign_tables(const float* x, const float* scale, int64_t cols, float* tables,
                       Instructions use) {
  run_variant<tables_of>(use, x, scale, cols, tables);
}

void multiply_signs(const InterleavedSigns& signs, const float* tables, int64_t block_begin,
                    int64_t block_end, float* y, Instructions use) {
  const Passes passes = passes_of(use);
  const int64_t per_row = signs.words_per_row(), stride = per_row * kBlock;
  int64_t block = block_begin;
  // Four blocks at a time load each table once; the rest go one by one. A row's sum is the same in
  // both.
  for (; passes.four != nullptr && block + 4 <= block_end; block += 4) {
    passes.four(signs.words + block * stride, stride, per_row, tables, y + block * kBlock);
  }
  for (; block < block_end; ++block) {
    passes.one(signs.words + block * stride, stride, per_row, tables, y + block * kBlock);
  }
}

void multiply_signs_plain(const InterleavedSigns& signs, const float* x, const float* scale,
                          float* y) {
  const int64_t per_row = signs.words_per_row();
  for (int64_t r = 0; r < signs.rows; ++r) {
    const uint32_t* words = signs.words + (r / kBlock) * per_row * kBlock + r % kBlock;
    // In fp64: what the other forms are compared with.
    double sum = 0;
    for (int64_t c = 0; c < signs.cols; ++c) {
      const double value = scale ? static_cast<double>(x[c]) * scale[c] : x[c];
      sum += ((words[c / 32 * kBlock] >> (c % 32)) & 1) != 0 ? -value : value;
    }
    y[r] = static_cast<float>(sum);
  }
}

void multiply_bf16(const uint16_t* w, int64_t cols, const float* x, int64_t row_begin,
                   int64_t row_end, float* y, Instructions use) {
  run_variant<multiply_rows>(use, w, cols, x, row_begin, row_end, y);
}

}  // namespace littlebit
