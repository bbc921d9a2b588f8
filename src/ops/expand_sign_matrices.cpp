// On the CPU the rows of all matrices are divided among ATen's threads together: a group's small
// matrices do not wait for one another.
#include "littlebit/ops/expand_sign_matrices.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "littlebit/core/error.h"
#include "littlebit/ops/expand_signs.h"
#include "ops/made_numbers.h"
#include "ops/operation.h"
#include "ops/rows.h"

namespace littlebit {

void expand_sign_matrices(at::TensorList outs, const at::Tensor& words, const at::Tensor& scales,
                          at::IntArrayRef first_bits, at::IntArrayRef scale_begins,
                          const std::vector<ScaledSide>& sides) {
  LB_ASSERT(outs.size() == first_bits.size() && outs.size() == scale_begins.size() &&
                outs.size() == sides.size(),
            "one of each a matrix");
  std::vector<int64_t> numbers;
  for (const ScaledSide side : sides) numbers.push_back(static_cast<int64_t>(side));
  for (size_t i = 0; i < outs.size(); ++i) {
    const int64_t end = scale_begins[i] + outs[i].size(static_cast<int64_t>(sides[i]));
    LB_ASSERT(scale_begins[i] >= 0 && end <= scales.numel(), "scales of every matrix");
    LB_ASSERT(first_bits[i] >= 0 && first_bits[i] + outs[i].numel() <= words.numel() * 32,
              "bits of every matrix");
  }
  dispatched<ExpandSignMatrices>().call(outs, words, scales, first_bits, scale_begins, numbers);
}

void ExpandSignMatrices::twin(at::TensorList outs, const at::Tensor& words,
                              const at::Tensor& scales, at::IntArrayRef first_bits,
                              at::IntArrayRef scale_begins, at::IntArrayRef sides) {
  for (size_t i = 0; i < outs.size(); ++i) {
    // W2 = diag(h) sign(U) has scales of rows, W1 = sign(V) diag(g) those of columns.
    const bool by_rows = sides[i] == static_cast<int64_t>(ScaledSide::kRows);
    const at::Tensor scale = scales.narrow(0, scale_begins[i], outs[i].size(by_rows ? 0 : 1));
    ExpandSigns::twin(outs[i], words, first_bits[i], by_rows ? std::optional(scale) : std::nullopt,
                      by_rows ? std::nullopt : std::optional(scale));
  }
}

void ExpandSignMatrices::cpu(at::TensorList outs, const at::Tensor& words, const at::Tensor& scales,
                             at::IntArrayRef first_bits, at::IntArrayRef scale_begins,
                             at::IntArrayRef sides) {
  with_job(outs, words, scales, first_bits, scale_begins, sides, [](const auto& all) {
    constexpr int64_t kPiece = 1 << 16;  // elements worth a thread of their own
    // All pieces have about the same number of elements, and a thread takes a run of neighbours,
    // which may be parts of several matrices.
    struct Piece {
      int64_t matrix, begin, end;
    };
    std::vector<Piece> pieces;
    for (int64_t i = 0; i < all.count; ++i) {
      const int64_t rows = all.jobs[i].rows, step = rows_per_thread(all.jobs[i].cols, kPiece);
      for (int64_t begin = 0; begin < rows; begin += step) {
        pieces.push_back({i, begin, std::min(rows, begin + step)});
      }
    }
    at::parallel_for(0, static_cast<int64_t>(pieces.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) {
        expand_signs(all.jobs[pieces[p].matrix], pieces[p].begin, pieces[p].end);
      }
    });
  });
}

std::vector<OperationCase> ExpandSignMatrices::cases() {
  struct Shape {
    int64_t rows, cols;
  };
  std::vector<OperationCase> cases;
  // Matrices one behind the other in the buffer of bits, each at a multiple of 32 and then some,
  // and side by side in a target with a gap where `gap` is not 0; rows and columns take turns.
  const auto add = [&](const std::string& shape, std::vector<Shape> shapes, int64_t gap,
                       at::ScalarType dtype, bool timed) {
    double numbers = 0;
    for (const Shape& each : shapes) numbers += static_cast<double>(each.rows * each.cols);
    cases.push_back({.operation = kName,
                     .shape = shape,
                     .dtype = dtype,
                     .tolerance = 0,
                     .bytes = numbers * (1.0 / 8 + static_cast<double>(c10::elementSize(dtype))),
                     .timed = timed,
                     .arguments = [=](at::Device device) {
                       c10::List<at::Tensor> outs;
                       std::vector<int64_t> first_bits, scale_begins, sides;
                       int64_t bits = 0, scales = 0;
                       for (size_t i = 0; i < shapes.size(); ++i) {
                         const auto [rows, cols] = shapes[i];
                         const at::Tensor wide = at::zeros(
                             {rows, cols + gap}, at::TensorOptions().dtype(dtype).device(device));
                         outs.push_back(wide.narrow(1, gap, cols));
                         sides.push_back(static_cast<int64_t>(i % 2));
                         first_bits.push_back(bits + static_cast<int64_t>(i % 3));
                         scale_begins.push_back(scales);
                         bits = (bits + 2 + rows * cols + 31) / 32 * 32;
                         scales += i % 2 == 0 ? rows : cols;
                       }
                       return torch::jit::Stack{outs,
                                                made_words(kName, bits / 32 + 1).to(device),
                                                made_numbers("scales", {scales}).to(device, dtype),
                                                first_bits,
                                                scale_begins,
                                                sides};
                     }});
  };
  const std::vector<Shape> odd = {{67, 203}, {1, 5}, {8, 64}, {0, 7},   {3, 0},
                                  {130, 1},  {1, 1}, {5, 33}, {2, 4096}};
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
    add("9 odd matrices", odd, 0, dtype, /*timed=*/false);
    add("9 odd matrices, apart", odd, 21, dtype, /*timed=*/false);
    add("100 of 8 x 40", std::vector<Shape>(100, Shape{8, 40}), 0, dtype, /*timed=*/false);
    add("one of 33 x 65", {{33, 65}}, 0, dtype, /*timed=*/false);
    add("none but empty ones", {{0, 4}, {4, 0}}, 0, dtype, /*timed=*/false);
    if (dtype == at::kDouble) continue;
    // A block of Llama 2 7B's shape at 0.55 bit, both paths.
    std::vector<Shape> block;
    const auto layer = [&](int64_t d_out, int64_t d_in, int64_t rank) {
      for (int path = 0; path < 2; ++path) {
        block.push_back({d_out, rank});
        block.push_back({rank, d_in});
      }
    };
    for (int i = 0; i < 4; ++i) layer(4096, 4096, 552);
    for (int i = 0; i < 2; ++i) layer(11008, 4096, 808);
    layer(4096, 11008, 808);
    add("a block of 7B at 0.55 bit", block, 0, dtype, /*timed=*/true);
  }
  return cases;
}

}  // namespace littlebit
