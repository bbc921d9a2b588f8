// Sign bits to matrices. Same contract as kernels/signs.h: bit i of a buffer is bit i % 32 of word
// i / 32, 1 = negative; and as kernels/sign_product.h for interleaved ones. Only bits move: the
// results are those of the CPU, exactly.
#include "launch.cuh"
#include "littlebit/kernels/sign_product.h"
#include "littlebit/kernels/signs.h"

namespace littlebit::cuda {

template <int kBytes>
struct BitsOf;
template <>
struct BitsOf<2> {
  using Type = uint16_t;
  static constexpr Type kOne = 0x3F80;  // bfloat16
};
template <>
struct BitsOf<4> {
  using Type = uint32_t;
  static constexpr Type kOne = 0x3F800000;
};
template <>
struct BitsOf<8> {
  using Type = uint64_t;
  static constexpr Type kOne = 0x3FF0000000000000;
};

// A SignExpansion whose elements are taken as bit patterns B.
template <class B>
struct ExpandJob {
  const uint32_t* words;
  int64_t first_bit, rows, cols;
  const B* row_scale;
  const B* column_scale;
  B* out;
  int64_t out_stride;
  bool whole_stores;  // out and its rows lie at multiples of 16 bytes
};

template <class T>
bool takes_whole_stores(const T* out, int64_t stride) {
  return reinterpret_cast<uintptr_t>(out) % 16 == 0 && stride * sizeof(T) % 16 == 0;
}

template <class T>
auto expand_job(const SignExpansion<T>& job) {
  using B = typename BitsOf<sizeof(T)>::Type;
  return ExpandJob<B>{job.words,
                      job.first_bit,
                      job.rows,
                      job.cols,
                      reinterpret_cast<const B*>(job.row_scale),
                      reinterpret_cast<const B*>(job.column_scale),
                      reinterpret_cast<B*>(job.out),
                      job.out_stride,
                      takes_whole_stores(job.out, job.out_stride)};
}

// Sixteen bytes of a row, stored at once where they lie so.
template <class B>
struct alignas(16) Piece {
  static constexpr int kSize = 16 / sizeof(B);
  B values[kSize];
};

// `count` bits from any place; reads the next word only where bits of it are asked for.
__device__ inline uint32_t load_bits(const uint32_t* words, int64_t first, int count) {
  const int shift = static_cast<int>(first & 31);
  uint64_t bits = words[first >> 5];
  if (shift + count > 32) bits |= static_cast<uint64_t>(words[(first >> 5) + 1]) << 32;
  return static_cast<uint32_t>(bits >> shift);
}

// The first `count` elements of a piece of a row, by the row's scale or those of the columns.
template <class B>
__device__ __forceinline__ void store_signs(uint32_t bits, const B* row_scale,
                                            const B* column_scales, int count, bool whole_stores,
                                            B* out) {
  constexpr int kPiece = Piece<B>::kSize, kSignShift = 8 * sizeof(B) - 1;
  const B of_row = row_scale ? *row_scale : BitsOf<sizeof(B)>::kOne;
  Piece<B> piece;
  for (int k = 0; k < kPiece; ++k) {
    const B scale = column_scales && k < count ? column_scales[k] : of_row;
    // The sign bit alone is flipped: no arithmetic, and every type as the pattern of its bits.
    piece.values[k] = scale ^ static_cast<B>(static_cast<B>((bits >> k) & 1) << kSignShift);
  }
  if (whole_stores && count == kPiece) {
    *reinterpret_cast<Piece<B>*>(out) = piece;
  } else {
    for (int k = 0; k < kPiece; ++k) {  // a fixed count: the piece stays in registers
      if (k < count) out[k] = piece.values[k];
    }
  }
}

// A thread makes 16 bytes of a row at a time: consecutive threads, consecutive pieces. Of `blocks`
// blocks that do the job together, the one of number `block`.
template <class B>
__device__ __forceinline__ void expand_by_blocks(const ExpandJob<B>& job, unsigned block,
                                                 unsigned blocks) {
  // Pieces do not cross rows, since a row's end need not be at a multiple of 16 bytes. Bits need
  // not begin at a word: a piece reads one word or two.
  constexpr int kPiece = Piece<B>::kSize;
  const int64_t pieces = (job.cols + kPiece - 1) / kPiece;
  const int64_t step = static_cast<int64_t>(blocks) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(block) * blockDim.x + threadIdx.x; i < job.rows * pieces;
       i += step) {
    const int64_t row = i / pieces, column = (i - row * pieces) * kPiece;
    const int64_t rest = job.cols - column;
    const int count = rest < kPiece ? static_cast<int>(rest) : kPiece;
    const uint32_t bits = load_bits(job.words, job.first_bit + row * job.cols + column, count);
    store_signs(bits, job.row_scale ? job.row_scale + row : nullptr,
                job.column_scale ? job.column_scale + column : nullptr, count, job.whole_stores,
                job.out + row * job.out_stride + column);
  }
}

// As many jobs as the 4 KiB of a kernel's arguments hold; job i has blocks first_block[i] to
// first_block[i + 1].
template <class B>
struct ExpandTable {
  static constexpr int kMaxJobs = 48;
  ExpandJob<B> jobs[kMaxJobs];
  unsigned first_block[kMaxJobs + 1];
};

// Dozens of small matrices in one launch: the table is an argument, so nothing is copied to the
// device before it.
template <class B>
__global__ void expand_kernel(const __grid_constant__ ExpandTable<B> table) {
  // At most 48 steps, the same for all threads of a block.
  int job = 0;
  while (blockIdx.x >= table.first_block[job + 1]) ++job;
  const unsigned first = table.first_block[job];
  expand_by_blocks(table.jobs[job], blockIdx.x - first, table.first_block[job + 1] - first);
}

template <class B>
struct InterleavedJob {
  InterleavedSigns signs;
  int64_t begin, end;
  const B* row_scale;
  const B* column_scale;
  B* out;  // of row `begin`
  int64_t out_stride;
  bool whole_stores;
};

// As above; no piece reaches into a second word.
template <class B>
__global__ void expand_interleaved_kernel(InterleavedJob<B> job) {
  constexpr int kPiece = Piece<B>::kSize;
  constexpr int64_t kBlock = InterleavedSigns::kBlock;
  const int64_t cols = job.signs.cols, pieces = (cols + kPiece - 1) / kPiece;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
       i < (job.end - job.begin) * pieces; i += step) {
    const int64_t of_out = i / pieces, column = (i - of_out * pieces) * kPiece;
    const int64_t row = job.begin + of_out, rest = cols - column;
    const int64_t word = row / kBlock * ((cols + 31) / 32) + column / 32;
    store_signs(job.signs.words[word * kBlock + row % kBlock] >> (column % 32),
                job.row_scale ? job.row_scale + row : nullptr,
                job.column_scale ? job.column_scale + column : nullptr,
                rest < kPiece ? static_cast<int>(rest) : kPiece, job.whole_stores,
                job.out + of_out * job.out_stride + column);
  }
}

template <class T>
cudaError_t expand(const InterleavedRows<T>& rows, cudaStream_t stream) {
  using B = typename BitsOf<sizeof(T)>::Type;
  const InterleavedExpansion<T>& job = rows.expansion;
  const int64_t pieces = (job.signs.cols + Piece<B>::kSize - 1) / Piece<B>::kSize;
  if (rows.end <= rows.begin || pieces == 0) return cudaSuccess;
  return launch(
      expand_interleaved_kernel<B>,
      {.grid = blocks_for((rows.end - rows.begin) * pieces), .block = kThreads}, stream,
      InterleavedJob<B>{job.signs, rows.begin, rows.end, reinterpret_cast<const B*>(job.row_scale),
                        reinterpret_cast<const B*>(job.column_scale), reinterpret_cast<B*>(job.out),
                        job.out_stride, takes_whole_stores(job.out, job.out_stride)});
}

template <class T>
unsigned blocks_of(const SignExpansion<T>& job) {
  constexpr int64_t kPiece = 16 / sizeof(T);
  return blocks_for(job.rows * ((job.cols + kPiece - 1) / kPiece));
}

template <class T>
cudaError_t expand(const SignExpansions<T>& all, cudaStream_t stream) {
  using Table = ExpandTable<typename BitsOf<sizeof(T)>::Type>;
  static_assert(sizeof(Table) <= 4096);
  Table table = {};
  int count = 0;
  for (int64_t i = 0; i < all.count; ++i) {
    const SignExpansion<T>& job = all.jobs[i];
    if (job.rows > 0 && job.cols > 0) {
      table.jobs[count] = expand_job(job);
      table.first_block[count + 1] = table.first_block[count] + blocks_of(job);
      ++count;
    }
    // Launched when the table is full or the list ends.
    if (count == 0 || (count < Table::kMaxJobs && i + 1 < all.count)) continue;
    const cudaError_t error =
        launch(expand_kernel<typename BitsOf<sizeof(T)>::Type>,
               {.grid = table.first_block[count], .block = kThreads}, stream, table);
    if (error != cudaSuccess) return error;
    count = 0;
  }
  return cudaSuccess;
}

template <>
cudaError_t run(const SignExpansion<float>& job, cudaStream_t stream) {
  return expand(SignExpansions<float>{&job, 1}, stream);
}
template <>
cudaError_t run(const SignExpansion<double>& job, cudaStream_t stream) {
  return expand(SignExpansions<double>{&job, 1}, stream);
}
template <>
cudaError_t run(const SignExpansion<uint16_t>& job, cudaStream_t stream) {
  return expand(SignExpansions<uint16_t>{&job, 1}, stream);
}
template <>
cudaError_t run(const SignExpansions<float>& all, cudaStream_t stream) {
  return expand(all, stream);
}
template <>
cudaError_t run(const SignExpansions<double>& all, cudaStream_t stream) {
  return expand(all, stream);
}
template <>
cudaError_t run(const SignExpansions<uint16_t>& all, cudaStream_t stream) {
  return expand(all, stream);
}
template <>
cudaError_t run(const InterleavedRows<float>& rows, cudaStream_t stream) {
  return expand(rows, stream);
}
template <>
cudaError_t run(const InterleavedRows<double>& rows, cudaStream_t stream) {
  return expand(rows, stream);
}
template <>
cudaError_t run(const InterleavedRows<uint16_t>& rows, cudaStream_t stream) {
  return expand(rows, stream);
}

}  // namespace littlebit::cuda
