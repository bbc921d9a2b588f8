// The second factor is paired once, by panels of columns; then each block of rows is split and goes
// through all panels. A block's parts and a panel's piece stay in the second cache.
//
//     a = a1 + a2 + a3, each exact in bf16        a b^T = a3 b^T + a2 b^T + a1 b^T, summed in fp32
#include "ops/split_product.h"

#include <ATen/Parallel.h>
#include <ATen/native/CPUBlas.h>
#include <ATen/ops/empty.h>

#include <algorithm>

#include "littlebit/core/error.h"
#include "littlebit/kernels/split_rows.h"

namespace littlebit {
namespace {

constexpr int64_t kPanel = 256;  // columns
constexpr int64_t kDepth = 512;  // of what is summed, at a time
constexpr int64_t kApart = 32;   // added to strides: powers of two would share sets of the caches
constexpr int64_t kUnit = 32;    // a tile has 16 rows of 32 numbers

int64_t round_up(int64_t number, int64_t unit) { return (number + unit - 1) / unit * unit; }

void multiply(int64_t m, int64_t n, int64_t k, const uint16_t* a, int64_t a_stride,
              const uint16_t* b, int64_t b_stride, float* c, int64_t c_stride, bool adds) {
  at::native::cpublas::brgemm(m, n, k, a_stride, b_stride, c_stride, adds,
                              reinterpret_cast<const at::BFloat16*>(a),
                              reinterpret_cast<const at::BFloat16*>(b), c, /*is_vnni=*/true);
}

// A thread's tiles stay configured until they are released, which the library leaves to its caller.
struct Tiles {
  Tiles() = default;
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
  ~Tiles() { at::native::cpublas::brgemm_release(/*is_vnni=*/true); }
};

bool find_tiles() {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
  if (!__builtin_cpu_supports("amx-bf16")) return false;
  const uint16_t zeros[4] = {};
  float sum[4];
  try {  // a LibTorch, or an ONEDNN_MAX_CPU_ISA, without them says so like this
    const Tiles tiles;
    multiply(2, 2, 2, zeros, 2, zeros, 2, sum, 2, /*adds=*/false);
  } catch (const c10::Error&) {
    return false;
  }
  return true;
#else
  return false;
#endif
}

at::Tensor bytes(int64_t count) { return at::empty({count}, at::TensorOptions().dtype(at::kByte)); }
template <class T>
T* data_of(const at::Tensor& bytes) {
  return static_cast<T*>(bytes.mutable_data_ptr());
}

const uint16_t* bf16_data(const at::Tensor& x) {
  return static_cast<const uint16_t*>(x.const_data_ptr());
}

// Rows of b, which are columns of the product, begin .. begin + count - 1: in pairs, by panels.
class PairedPanels {
 public:
  PairedPanels(const at::Tensor& b, int64_t begin, int64_t count, int64_t parts)
      : count_(count),
        depth_(round_up(b.size(1), kUnit)),
        times_(parts * depth_ <= kDepth ? parts : 1) {
    memory_ = bytes(2 * depth() * round_up(count, kUnit));
    const int64_t pieces = (depth_ + kDepth - 1) / kDepth;
    at::parallel_for(0, num_panels() * pieces, 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        pair(b, begin, i / pieces, i % pieces * kDepth);
      }
    });
  }

  // A short b stands here as often as `a` has parts, which then lie side by side: one product
  // instead of several, each of which would read and write its sums.
  int64_t times() const { return times_; }
  int64_t depth() const { return times_ * depth_; }  // a multiple of kUnit
  int64_t num_panels() const { return (count_ + kPanel - 1) / kPanel; }
  int64_t columns(int64_t panel) const { return std::min(kPanel, count_ - panel * kPanel); }
  int64_t width(int64_t panel) const { return round_up(columns(panel), kUnit); }
  // From k on: [rest of the depth / 2, width, 2]. Panels lie one after another; all before this one
  // have the full width.
  uint16_t* piece(int64_t panel, int64_t k) const {
    return data_of<uint16_t>(memory_) + depth() * panel * kPanel + k * width(panel);
  }

 private:
  // Columns of a panel beyond those given are made of whatever is there, and nobody reads them.
  void pair(const at::Tensor& b, int64_t begin, int64_t panel, int64_t k) const {
    pair_once(b, begin, panel, k);
    for (int64_t i = 1; i < times_; ++i) {
      std::copy_n(piece(panel, 0), depth_ * width(panel), piece(panel, i * depth_));
    }
  }

  void pair_once(const at::Tensor& b, int64_t begin, int64_t panel, int64_t k) const {
    const int64_t width = this->width(panel), given = columns(panel);
    const int64_t depth = std::min(kDepth, depth_ - k), whole = (b.size(1) - k) / 2 * 2;
    const int64_t first = begin + panel * kPanel;
    const uint16_t* const data = bf16_data(b) + first * b.stride(0) + k * b.stride(1);
    uint16_t* const to = piece(panel, k);
    // b lies by columns: its transpose has contiguous rows, and a pair is made from two of them.
    if (b.stride(1) != 1 && b.size(1) != 1) {
      pair_rows({data, b.stride(1), std::min(depth, b.size(1) - k), given},
                {to, width, depth, given});
      return;
    }
    // Otherwise a pair is two neighbours of one row, moved as one word of 32 bits. The last number
    // of an odd depth has no neighbour: read as a pair, it would reach beyond the row.
    const int64_t paired = std::min(depth, whole);
    pair_transposed_rows({data, b.stride(0), given, paired}, {to, width, paired, given});
    uint16_t* const rest = to + paired * width;
    std::fill(rest, to + depth * width, uint16_t{0});
    if (paired < depth && b.size(1) % 2 == 1) {
      for (int64_t i = 0; i < given; ++i) rest[2 * i] = data[i * b.stride(0) + paired];
    }
  }

  int64_t count_, depth_, times_;
  at::Tensor memory_;
};

// The columns of the product that `panels` stand for, from `begin` on.
class Columns {
 public:
  Columns(const SplitProduct& product, const PairedPanels& panels, int64_t begin, int64_t parts)
      : product_(product), panels_(panels), begin_(begin), parts_(parts / panels.times()) {
    // So few rows that a block's parts leave a panel's piece its room. The parts of a block take at
    // most 512 KiB at 128 rows, 1 MiB at 64; longer rows are taken 32 at a time.
    const int64_t bytes_of_row = 2 * parts_ * panels.depth();
    height_ = bytes_of_row * 128 <= (1 << 19) ? 128 : bytes_of_row * 64 <= (1 << 20) ? 64 : 32;
    height_ = std::min(height_, round_up(product.a.size(0), 16));
  }

  void multiply_all() const {
    const int64_t blocks = (product_.a.size(0) + height_ - 1) / height_;
    // Where there are fewer blocks of rows than threads, panels are shared out, too.
    const int64_t shares =
        std::clamp<int64_t>(at::get_num_threads() / blocks, 1, panels_.num_panels());
    at::parallel_for(0, blocks * shares, 1, [&](int64_t first, int64_t last) {
      const Tiles tiles;
      const int64_t stride = panels_.depth() + kApart;
      const at::Tensor parts = bytes(2 * parts_ * height_ * stride);
      const at::Tensor sums = bytes(4 * height_ * kSumStride);
      int64_t held = -1;
      for (int64_t i = first; i < last; ++i) {
        const int64_t block = i / shares, share = i % shares;
        // Neighbouring tasks are shares of one block, which is then split once.
        if (block != held) split(block, data_of<uint16_t>(parts), stride);
        held = block;
        const int64_t end = panels_.num_panels() * (share + 1) / shares;
        for (int64_t panel = panels_.num_panels() * share / shares; panel < end; ++panel) {
          multiply_panel(block, panel, data_of<uint16_t>(parts), stride, data_of<float>(sums));
        }
      }
    });
  }

 private:
  static constexpr int64_t kSumStride = kPanel + 16;

  // Rows and columns beyond the matrix become zeros: products run over whole tiles.
  void split(int64_t block, uint16_t* to, int64_t stride) const {
    const at::Tensor& a = product_.a;
    const int64_t row = block * height_, rows = std::min(height_, a.size(0) - row);
    const int64_t from = row * a.stride(0), cols = panels_.depth() / panels_.times();
    if (a.scalar_type() == at::kBFloat16) {
      for (int64_t i = 0; i < height_; ++i) {
        const int64_t filled = i < rows ? a.size(1) : 0;
        std::copy_n(bf16_data(a) + from + i * a.stride(0), filled, to + i * stride);
        std::fill(to + i * stride + filled, to + i * stride + cols, uint16_t{0});
      }
      return;
    }
    // Side by side in one long row where b is repeated (times()), else one after another.
    const int64_t apart = parts_ == 1 ? cols : height_ * stride;
    split_rows({.x = {a.const_data_ptr<float>() + from, a.stride(0), rows, a.size(1)},
                .scale = scale(product_.in_scale),
                .to = {to, to + apart, to + 2 * apart},
                .stride = stride,
                .rows = height_,
                .cols = cols});
  }

  void multiply_panel(int64_t block, int64_t panel, const uint16_t* parts, int64_t stride,
                      float* sums) const {
    const at::Tensor& y = product_.y;
    const int64_t row = block * height_, rows = std::min(height_, product_.a.size(0) - row);
    const int64_t width = panels_.width(panel), columns = panels_.columns(panel);
    const int64_t column = begin_ + panel * kPanel;
    float* const to = y.data_ptr<float>() + row * y.stride(0) + column;
    // Only whole blocks may go straight to y: products write whole tiles, and y may be part of a
    // wider matrix.
    const bool is_direct = rows == height_ && columns == width && product_.out_scale == nullptr;
    float* const c = is_direct ? to : sums;
    const int64_t c_stride = is_direct ? y.stride(0) : kSumStride;
    bool adds = is_direct && product_.adds;
    for (int64_t k = 0; k < panels_.depth(); k += kDepth) {
      const int64_t depth = std::min(kDepth, panels_.depth() - k);
      // Added after the large part, the bits of a small one would be rounded away.
      for (int64_t part = parts_ - 1; part >= 0; --part) {  // the smallest first
        multiply(height_, width, depth, parts + part * height_ * stride + k, stride,
                 panels_.piece(panel, k), width, c, c_stride, adds);
        adds = true;
      }
    }
    if (is_direct) return;
    const float* out = scale(product_.out_scale);
    end_rows({.x = {sums, c_stride, rows, columns},
              .scale = out == nullptr ? nullptr : out + column,
              .y = to,
              .y_stride = y.stride(0),
              .adds = product_.adds});
  }

  static const float* scale(const at::Tensor* of) {
    return of == nullptr ? nullptr : of->const_data_ptr<float>();
  }

  const SplitProduct& product_;
  const PairedPanels& panels_;
  int64_t begin_, parts_, height_;
};

at::Tensor rows_or_columns(const at::Tensor& t) {
  return t.stride(0) == 1 || t.stride(1) == 1 ? t : t.contiguous();
}

}  // namespace

bool has_split_products() {
  static const bool found = find_tiles();
  return found;
}

void split_product(const SplitProduct& product) {
  const at::Tensor b = rows_or_columns(product.b);
  const at::Tensor a = product.a.stride(1) == 1 ? product.a : product.a.contiguous();
  LB_ASSERT(a.size(1) == b.size(1) && product.y.size(0) == a.size(0) &&
                product.y.size(1) == b.size(0) && product.y.stride(1) == 1,
            "shapes of a product");
  LB_ASSERT(b.scalar_type() == at::kBFloat16 && product.y.scalar_type() == at::kFloat &&
                (a.scalar_type() == at::kFloat ||
                 (a.scalar_type() == at::kBFloat16 && product.in_scale == nullptr)),
            "types of a product");
  if (a.size(0) == 0 || b.size(0) == 0) return;
  if (a.size(1) == 0) {
    if (!product.adds) product.y.zero_();
    return;
  }
  const int64_t parts = a.scalar_type() == at::kBFloat16 ? 1 : 3;
  const SplitProduct ready{a, b, product.y, product.in_scale, product.out_scale, product.adds};
  constexpr int64_t kMemory = 1 << 23;  // numbers in bf16
  const int64_t columns =
      std::max<int64_t>(1, kMemory / round_up(a.size(1), kUnit) / kPanel) * kPanel;
  // b is paired 16 MiB at a time, for all rows of a.
  for (int64_t begin = 0; begin < b.size(0); begin += columns) {
    const PairedPanels panels(b, begin, std::min(columns, b.size(0) - begin), parts);
    Columns(ready, panels, begin, parts).multiply_all();
  }
}

}  // namespace littlebit
