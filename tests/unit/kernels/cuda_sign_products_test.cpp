// Products straight from interleaved bits as a GPU makes them, run on the CPU by tests/cudasim:
// against sums in fp64, in memory behind whose end nothing may be touched.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <vector>

#define LITTLEBIT_SIMULATE_CUDA
#include "../../../cuda/sign_products.cu"
#include "cudasim/guarded_buffer.h"
#include "littlebit/kernels/sign_product.h"

namespace littlebit {
namespace {

struct Shape {
  int64_t rows, cols;
};

// All buffers of a job, of exactly the sizes that it names.
template <class T>
class Job {
 public:
  // One sum for every `terms` shapes. `side_by_side`: each matrix has columns of x of its own.
  Job(const std::vector<Shape>& shapes, int64_t terms, bool side_by_side, bool scaled, bool biased,
      int64_t x_rows)
      : x_rows_(x_rows) {
    for (const Shape& shape : shapes) {
      stride_ = side_by_side ? stride_ + shape.cols : std::max(stride_, shape.cols);
    }
    T* const x = buffer<T>(x_rows * stride_, [&] { return cuda::narrowed<T>(number()); });
    int64_t columns = 0, begin = 0;
    for (size_t i = 0; i < shapes.size(); i += static_cast<size_t>(terms)) {
      SignSum<T> sum{.count = terms, .bias = biased ? numbers(shapes[i].rows) : nullptr};
      for (int64_t t = 0; t < terms; ++t) {
        const Shape& shape = shapes[i + static_cast<size_t>(t)];
        sum.terms[t] = {signs(shape), x + begin, scaled ? numbers(shape.cols) : nullptr,
                        numbers(shape.rows)};
        if (side_by_side) begin += shape.cols;
      }
      sums_.push_back(sum);
      first_.push_back(columns);
      columns += shapes[i].rows;
    }
    y_ = buffer<T>(x_rows * columns, [] { return T(7); });
    for (size_t s = 0; s < sums_.size(); ++s) sums_[s].y = y_ + first_[s];
    columns_ = columns;
  }

  SignSums<T> get() const {
    return {sums_.data(), static_cast<int64_t>(sums_.size()), x_rows_, stride_, columns_};
  }

  // The greatest difference from fp64, relative to the sum of what was added up.
  double worst() const {
    double worst = 0;
    for (size_t s = 0; s < sums_.size(); ++s) {
      const SignSum<T>& sum = sums_[s];
      for (int64_t m = 0; m < x_rows_; ++m) {
        for (int64_t r = 0; r < sum.terms[0].signs.rows; ++r) {
          double want = sum.bias != nullptr ? sum.bias[r] : 0, size = std::abs(want);
          for (int64_t t = 0; t < sum.count; ++t) add(sum.terms[t], m, r, want, size);
          const double got = cuda::widened(y_[m * columns_ + first_[s] + r]);
          const double gap = std::abs(got - want) / size;
          worst = gap >= 0 ? std::max(worst, gap) : INFINITY;
        }
      }
    }
    return worst;
  }

 private:
  void add(const SignTerm<T>& term, int64_t m, int64_t r, double& sum, double& size) const {
    const uint32_t* words = term.signs.words + r / 16 * term.signs.words_per_row() * 16 + r % 16;
    for (int64_t c = 0; c < term.signs.cols; ++c) {
      double value = cuda::widened(term.x[m * stride_ + c]);
      if (term.in_scale != nullptr) value *= term.in_scale[c];
      value *= term.out_scale[r];
      sum += ((words[c / 32 * 16] >> (c % 32)) & 1) != 0 ? -value : value;
      size += std::abs(value);
    }
  }

  float number() { return std::normal_distribution<float>()(random_); }
  template <class Element, class Make>
  Element* buffer(int64_t count, const Make& make) {
    auto owned = std::make_shared<cudasim::GuardedBuffer<Element>>(static_cast<size_t>(count));
    for (Element& element : owned->span()) element = make();
    kept_.push_back(owned);
    return owned->data();
  }
  const float* numbers(int64_t count) {
    return buffer<float>(count, [this] { return number(); });
  }
  // Any bits beyond the matrix, too: nothing may depend on them.
  InterleavedSigns signs(const Shape& shape) {
    InterleavedSigns signs{nullptr, shape.rows, shape.cols};
    signs.words =
        buffer<uint32_t>(signs.num_words(), [this] { return static_cast<uint32_t>(random_()); });
    return signs;
  }

  std::mt19937_64 random_{11};
  std::deque<std::shared_ptr<void>> kept_;
  std::vector<SignSum<T>> sums_;
  std::vector<int64_t> first_;
  int64_t x_rows_, stride_ = 0, columns_ = 0;
  T* y_ = nullptr;
};

template <class T>
void check(const std::vector<Shape>& shapes, int64_t terms, bool side_by_side, int64_t x_rows) {
  for (const bool with_more : {false, true}) {
    const Job<T> job(shapes, terms, side_by_side, with_more, with_more, x_rows);
    CHECK(cuda::run(job.get(), nullptr) == cudaSuccess);
    // fp32 sums of up to 32 numbers a lane's share and of the shares; bf16 rounds the result.
    CHECK(job.worst() <= (sizeof(T) == 4 ? 1e-6 : 4.1e-3));
  }
}

}  // namespace

TEST_CASE("CUDA: products from interleaved bits, of any shape and number of rows", "[cuda]") {
  for (const cudasim::Order order : cudasim::kOrders) {
    cudasim::t_order = order;
    for (const int64_t x_rows : {1, 2, 4, 5, 16}) {
      for (const Shape& shape :
           {Shape{1, 1}, {8, 203}, {16, 32}, {17, 33}, {33, 8}, {40, 513}, {65, 100}}) {
        INFO(x_rows << " rows, " << shape.rows << " x " << shape.cols << ", order "
                    << static_cast<int>(order));
        check<float>({shape}, 1, false, x_rows);
        check<uint16_t>({shape, shape}, 2, true, x_rows);
      }
    }
    // More columns than a block has tables for at a time, for one row and for four.
    check<float>({{5, 2100}}, 1, false, 1);
    check<float>({{5, 2100}}, 1, false, 3);
  }
}

TEST_CASE("CUDA: several layers' products in one launch, and in as many as they need", "[cuda]") {
  cudasim::t_order = cudasim::Order::kShuffled;
  check<float>({{30, 64}, {30, 64}, {7, 64}, {7, 64}, {100, 64}}, 1, false, 2);
  check<float>({{30, 9}, {30, 9}, {7, 41}, {7, 41}}, 2, true, 1);
  check<uint16_t>(std::vector<Shape>(49, Shape{3, 5}), 1, false, 1);  // 24 a launch
  check<float>({{0, 8}, {5, 8}, {0, 8}}, 1, false, 1);
}

TEST_CASE("CUDA: nothing is launched for products of no rows", "[cuda]") {
  CHECK(cuda::run(Job<float>({{4, 40}}, 1, false, true, false, 0).get(), nullptr) == cudaSuccess);
  CHECK(cuda::run(Job<float>({{0, 40}}, 1, false, true, false, 2).get(), nullptr) == cudaSuccess);
  CHECK(cuda::run(SignSums<float>{.sums = nullptr, .count = 0, .x_rows = 3}, nullptr) ==
        cudaSuccess);
}

}  // namespace littlebit
