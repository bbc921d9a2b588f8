// Plain C++ loops over sign bits, written so that the compiler vectorises them for each instruction
// set (variants.h). All give the same bits: no arithmetic, only moves.
#include "littlebit/kernels/signs.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "sign_words.h"
#include "variants.h"

namespace littlebit {
namespace {

// A comparison and not the sign bit: so -0 and NaN count as +1. The bits that differ from the old
// word are the flips.
template <class T>
LITTLEBIT_LOOP int64_t pack(const T* latents, int64_t n, uint32_t* words) {
  int64_t flips = 0;
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) {
    uint32_t bits = 0;
    for (int b = 0; b < 32; ++b) bits |= static_cast<uint32_t>(latents[i + b] < 0) << b;
    flips += std::popcount(bits ^ words[i >> 5]);
    words[i >> 5] = bits;
  }
  if (i < n) {
    uint32_t bits = 0;
    // The last word is not full. What it held beyond n does not count as changed.
    const uint32_t mask = (uint32_t{1} << (n - i)) - 1;
    for (int b = 0; i + b < n; ++b) bits |= static_cast<uint32_t>(latents[i + b] < 0) << b;
    flips += std::popcount((bits ^ words[i >> 5]) & mask);
    words[i >> 5] = bits;
  }
  return flips;
}

template <class T>
LITTLEBIT_LOOP void expand(const SignExpansion<T>* job, int64_t row_begin, int64_t row_end) {
  T constant[32];
  for (int64_t r = row_begin; r < row_end; ++r) {
    // A row's scale, or 1, thirty-two times: then one loop serves all three kinds of scaling.
    const T row_scale = job->row_scale ? job->row_scale[r] : one<T>();
    for (T& c : constant) c = row_scale;
    T* out = job->out + r * job->out_stride;
    const int64_t first = job->first_bit + r * job->cols;
    int64_t c = 0;
    for (; c + 32 <= job->cols; c += 32) {
      expand_word(load_bits(job->words, first + c, 32),
                  job->column_scale ? job->column_scale + c : constant, out + c);
    }
    if (c < job->cols) {
      // The last columns by way of a buffer: expand_word() always writes 32, and what follows in
      // memory may be another matrix.
      const int64_t rest = job->cols - c;
      T scale[32] = {}, last[32];
      std::memcpy(scale, job->column_scale ? job->column_scale + c : constant, rest * sizeof(T));
      expand_word(load_bits(job->words, first + c, rest), scale, last);
      std::memcpy(out + c, last, rest * sizeof(T));
    }
  }
}

}  // namespace

int64_t pack_signs(const float* latents, int64_t n, uint32_t* words, Instructions use) {
  return run_variant<pack<float>>(use, latents, n, words);
}
int64_t pack_signs(const double* latents, int64_t n, uint32_t* words, Instructions use) {
  return run_variant<pack<double>>(use, latents, n, words);
}

void expand_signs(const SignExpansion<float>& job, int64_t row_begin, int64_t row_end,
                  Instructions use) {
  run_variant<expand<float>>(use, &job, row_begin, row_end);
}
void expand_signs(const SignExpansion<double>& job, int64_t row_begin, int64_t row_end,
                  Instructions use) {
  run_variant<expand<double>>(use, &job, row_begin, row_end);
}
void expand_signs(const SignExpansion<uint16_t>& job, int64_t row_begin, int64_t row_end,
                  Instructions use) {
  run_variant<expand<uint16_t>>(use, &job, row_begin, row_end);
}

void copy_bit_rows(const uint32_t* from, int64_t from_first, int64_t from_stride, uint32_t* to,
                   int64_t to_first, int64_t to_stride, int64_t rows, int64_t cols) {
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t source = from_first + r * from_stride;
    const int64_t target = to_first + r * to_stride;
    for (int64_t c = 0; c < cols;) {
      // As many bits as fit into the rest of the destination word.
      const int64_t place = target + c;
      const int shift = static_cast<int>(place & 31);
      const int64_t count = std::min<int64_t>(32 - shift, cols - c);
      const uint32_t mask = (count == 32 ? ~uint32_t{0} : (uint32_t{1} << count) - 1) << shift;
      const uint32_t bits = load_bits(from, source + c, count) << shift;
      to[place >> 5] = (to[place >> 5] & ~mask) | (bits & mask);
      c += count;
    }
  }
}

}  // namespace littlebit
