// Products of a few rows with sign matrices from the interleaved bits (kernels/sign_product.h),
// with its tables of 16 signed sums: 4 bits cost a look-up and an addition. Same contract; sums are
// taken in another order than the CPU's.
//
// A lane has a row of the matrix, so a warp reads 128 bytes side by side at a time, and its lanes
// look into the same table: 16 numbers in 16 banks, which never collide. The warps of a block share
// the columns of 32 rows. Rows of x are taken by fours; bits that several fours read come from the
// cache after the first.
#include "launch.cuh"
#include "littlebit/kernels/sign_product.h"
#include "numbers.cuh"

namespace littlebit::cuda {

constexpr int kTileRows = 32, kTileWarps = kThreads / 32;
constexpr int kTable = 16;                         // numbers of a table
constexpr int kTablesPerWord = 8;                  // of 4 columns each
constexpr int kTableNumbers = 8192;                // of a block: 32 KiB
constexpr int kPerWord = kTablesPerWord * kTable;  // numbers of a word's tables

// As many sums as the 4 KiB of a kernel's arguments hold; sum i has blocks first_block[i] to
// first_block[i + 1], each with 32 rows of its matrices. One kernel serves both types of x and y:
// little beside the look-ups depends on it, and the library has each kernel six times.
struct SignSumTable {
  static constexpr int kMaxSums = 24;
  SignSum<void> sums[kMaxSums];
  unsigned first_block[kMaxSums + 1];
  bool are_bf16;
  int64_t x_rows, x_stride, y_stride;
};

template <class T>
SignSum<void> without_type(const SignSum<T>& job) {
  SignSum<void> sum = {.count = job.count, .y = job.y, .bias = job.bias};
  for (int64_t t = 0; t < job.count; ++t) {
    const SignTerm<T>& term = job.terms[t];
    sum.terms[t] = {term.signs, term.x, term.in_scale, term.out_scale};
  }
  return sum;
}

// The tables of `words` words of columns from `first_column` on, for `count` rows of x from number
// `first_x` on, kStride numbers apart: thread by thread 4 numbers of a table. Zeros for columns
// that do not exist, whatever the bits there.
template <int kStride>
__device__ __forceinline__ void make_tables(float* tables, const SignSumTable& all,
                                            const SignTerm<void>& term, int64_t first_x, int count,
                                            int64_t first_column, int words) {
  for (int m = 0; m < count; ++m, first_x += all.x_stride, tables += kStride) {
    for (int i = static_cast<int>(threadIdx.x); i < words * kPerWord / 4; i += kThreads) {
      const int quarter = i % 4;
      const int64_t column = first_column + i / 4 * 4;
      float values[4] = {};
      for (int k = 0; k < 4; ++k) {
        if (column + k < term.signs.cols) {
          const int64_t place = first_x + column + k;
          values[k] = all.are_bf16 ? widened(static_cast<const uint16_t*>(term.x)[place])
                                   : static_cast<const float*>(term.x)[place];
          if (term.in_scale != nullptr) values[k] *= term.in_scale[column + k];
        }
      }
      const float a = values[0], b = values[1];
      const float rest = ((quarter & 1) != 0 ? -values[2] : values[2]) +
                         ((quarter & 2) != 0 ? -values[3] : values[3]);
      float* table = tables + 4 * i;
      table[0] = (a + b) + rest;
      table[1] = (-a + b) + rest;
      table[2] = (a - b) + rest;
      table[3] = (-a - b) + rest;
    }
  }
}

// kRows: rows of x that a block takes at a time.
template <int kRows>
__global__ void __launch_bounds__(kThreads, 4)
    sign_products_kernel(const __grid_constant__ SignSumTable all) {
  constexpr int kWords = kTableNumbers / kPerWord / kRows, kWordsOfWarp = kWords / kTileWarps;
  LITTLEBIT_SHARED(float, tables, kTableNumbers);
  int index = 0;
  while (blockIdx.x >= all.first_block[index + 1]) ++index;
  const SignSum<void>& sum = all.sums[index];
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  const int64_t first_row = static_cast<int64_t>(blockIdx.x - all.first_block[index]) * kTileRows;
  const int64_t row = first_row + lane, rows = sum.terms[0].signs.rows;
  const int64_t first_x = static_cast<int64_t>(blockIdx.y) * kRows, rest = all.x_rows - first_x;
  const int count = rest < kRows ? static_cast<int>(rest) : kRows;
  float total[kRows] = {};
  for (int t = 0; t < sum.count; ++t) {
    const SignTerm<void>& term = sum.terms[t];
    const int64_t per_row = (term.signs.cols + 31) / 32;
    constexpr int64_t kBlock = InterleavedSigns::kBlock;
    const uint32_t* words = term.signs.words + row / kBlock * per_row * kBlock + row % kBlock;
    float partial[kRows] = {};
    for (int64_t first = 0; first < per_row; first += kWords) {
      const int count_words = static_cast<int>(per_row - first < kWords ? per_row - first : kWords);
      uint32_t bits[kWordsOfWarp];
      for (int k = 0; k < kWordsOfWarp; ++k) {
        const int word = k * kTileWarps + warp;
        bits[k] = row < rows && word < count_words ? words[(first + word) * kBlock] : 0;
      }
      __syncthreads();  // the tables before these may still be read
      make_tables<kWords * kPerWord>(tables, all, term, first_x * all.x_stride, count, first * 32,
                                     count_words);
      __syncthreads();
      for (int k = 0; k < kWordsOfWarp; ++k) {
        const int word = k * kTileWarps + warp;
        if (word >= count_words) break;
        for (int j = 0; j < kTablesPerWord; ++j) {
          const float* place = tables + word * kPerWord + j * kTable + (bits[k] >> 4 * j) % 16;
          for (int m = 0; m < kRows; ++m) partial[m] += place[m * kWords * kPerWord];
        }
      }
    }
    const float scale = row < rows ? term.out_scale[row] : 0.0f;
    for (int m = 0; m < kRows; ++m) total[m] += partial[m] * scale;
  }
  __syncthreads();
  for (int m = 0; m < kRows; ++m) tables[(m * kTileWarps + warp) * kTileRows + lane] = total[m];
  __syncthreads();
  for (int m = warp; m < count; m += kTileWarps) {
    if (row >= rows) break;
    float value = 0;
    for (int w = 0; w < kTileWarps; ++w) value += tables[(m * kTileWarps + w) * kTileRows + lane];
    if (sum.bias != nullptr) value += sum.bias[row];
    const int64_t place = (first_x + m) * all.y_stride + row;
    if (all.are_bf16) {
      static_cast<uint16_t*>(sum.y)[place] = narrowed<uint16_t>(value);
    } else {
      static_cast<float*>(sum.y)[place] = value;
    }
  }
}

cudaError_t multiply(const SignSumTable& table, int count, cudaStream_t stream) {
  const auto grid = [&](int rows) {
    return dim3(table.first_block[count], static_cast<unsigned>((table.x_rows + rows - 1) / rows));
  };
  constexpr int kMany = 4;
  if (table.x_rows == 1) {
    return launch(sign_products_kernel<1>, {.grid = grid(1), .block = kThreads}, stream, table);
  }
  return launch(sign_products_kernel<kMany>, {.grid = grid(kMany), .block = kThreads}, stream,
                table);
}

template <class T>
cudaError_t multiply(const SignSums<T>& all, cudaStream_t stream) {
  static_assert(sizeof(SignSumTable) <= 4096);
  if (all.x_rows == 0) return cudaSuccess;
  SignSumTable table = {};
  table.x_rows = all.x_rows;
  table.x_stride = all.x_stride;
  table.y_stride = all.y_stride;
  table.are_bf16 = sizeof(T) == 2;
  int count = 0;
  for (int64_t i = 0; i < all.count; ++i) {
    const int64_t rows = all.sums[i].terms[0].signs.rows;
    if (rows > 0) {
      table.sums[count] = without_type(all.sums[i]);
      table.first_block[count + 1] =
          table.first_block[count] + static_cast<unsigned>((rows + kTileRows - 1) / kTileRows);
      ++count;
    }
    if (count == 0 || (count < SignSumTable::kMaxSums && i + 1 < all.count)) continue;
    const cudaError_t error = multiply(table, count, stream);
    if (error != cudaSuccess) return error;
    count = 0;
  }
  return cudaSuccess;
}

template <>
cudaError_t run(const SignSums<float>& all, cudaStream_t stream) {
  return multiply(all, stream);
}
template <>
cudaError_t run(const SignSums<uint16_t>& all, cudaStream_t stream) {
  return multiply(all, stream);
}

}  // namespace littlebit::cuda
