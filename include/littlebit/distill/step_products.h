// The matrix products of a schedule, and how long they take when nothing else is done: the limit
// that a step is held against.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "littlebit/device/device_timer.h"
#include "littlebit/models/decoder.h"
#include "littlebit/models/model_spec.h"
#include "littlebit/quant/bit_budget.h"

namespace littlebit {

// [m, k] times [k, n], `batch` of them at a time. Which factors lie transposed in memory: x W^T
// (kNt: forward), dy W (kNn: the input's gradient), dy^T x (kTn: the weight's gradient).
enum class Layout { kNt, kNn, kTn };

struct Product {
  int64_t batch = 1, m = 0, n = 0, k = 0;
  Layout layout = Layout::kNt;
  bool is_mixed = false;  // the second factor in bf16 beside fp32 (matmul_nt)

  double flops() const;      // a multiplication and an addition each
  std::string text() const;  // "2048 x 512 x 64 NT", "8 * ..." where there is a batch
  auto key() const { return std::tuple(batch, m, n, k, layout, is_mixed); }
};

// `times`: how often it is done; a fraction where only a part of it is (what causal attention masks
// is not computed).
struct ScheduledProduct {
  Product product;
  double times = 0;
};

// One micro-batch [sequences, length] of the distillation step on a Llama-like model without
// windows: the teacher's and the student's linear layers, the two products of attention (four more
// in its backward), LM heads in their chunks.
struct StepSchedule {
  int64_t sequences, length;
  bool recompute;  // the student's blocks run forward twice
  // Multiplied in bf16 by what is in fp32: the signs of the student's layers, the teacher's
  // matrices, the head.
  bool signs = false, teacher = false, head = false;
};
// Of a teacher whose matrices are kept in one type.
StepSchedule schedule_of(const Decoder& teacher, int64_t sequences, int64_t length, bool recompute);
std::vector<ScheduledProduct> step_products(const ModelSpec& spec, std::span<const LayerPlan> plans,
                                            const StepSchedule& schedule);

// Forward and backward of the same model with plain matrices, all of them trained, the head too.
std::vector<ScheduledProduct> dense_products(const ModelSpec& spec,
                                             std::span<const LayerPlan> plans, int64_t sequences,
                                             int64_t length);

// Times of products alone, each measured once: cold operands, the product that the program calls.
class ProductTimes {
 public:
  // `head`: where given, second operands of its shape are it: a matrix that large is not made
  // twice.
  ProductTimes(const DeviceTimer& timer, at::ScalarType dtype, at::Tensor head = {})
      : timer_(timer), dtype_(dtype), head_(std::move(head)) {}
  double seconds(const Product& product);
  double seconds(std::span<const ScheduledProduct> products);
  // Nothing where measuring them takes longer than `budget` seconds, or an operand has no room: it
  // stops then.
  std::optional<double> seconds_within(double budget, std::span<const ScheduledProduct> products);

 private:
  bool has_room_for(const Product& product) const;

  const DeviceTimer& timer_;
  at::ScalarType dtype_;
  at::Tensor head_;
  std::map<decltype(Product().key()), double> known_;
};

}  // namespace littlebit
