// Lists of products by schedule, and their times.
#include "littlebit/distill/step_products.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "littlebit/core/stopwatch.h"
#include "littlebit/device/memory.h"
#include "littlebit/distill/kl_divergence.h"
#include "littlebit/ops/product.h"

namespace littlebit {
namespace {

class Schedule {
 public:
  explicit Schedule(int64_t rows) : rows_(rows) {}

  // y [rows, out] = x [rows, in] W^T, and its two derivatives.
  void forward(int64_t out, int64_t in, double times, bool mixed = false) {
    add({.m = rows_, .n = out, .k = in, .layout = Layout::kNt, .is_mixed = mixed}, times);
  }
  void backward(int64_t out, int64_t in, double times, bool mixed = false) {
    add({.m = rows_, .n = in, .k = out, .layout = Layout::kNn, .is_mixed = mixed}, times);
    add({.m = out, .n = in, .k = rows_, .layout = Layout::kTn}, times);
  }

  // Scores and their product with the values, of `passes` forward passes and, where `backward`, the
  // four derivatives. A causal mask leaves a little over half of the scores.
  void attention(const ModelSpec& spec, int64_t sequences, int64_t length, double passes,
                 bool backward) {
    // Of T^2 scores a causal mask leaves T (T + 1) / 2.
    const double part = static_cast<double>(length + 1) / static_cast<double>(2 * length) *
                        static_cast<double>(sequences * spec.num_layers);
    const Product scores{.batch = spec.num_heads, .m = length, .n = length, .k = spec.head_dim};
    const Product values{.batch = spec.num_heads,
                         .m = length,
                         .n = spec.head_dim,
                         .k = length,
                         .layout = Layout::kNn};
    const Product transposed{.batch = spec.num_heads,
                             .m = length,
                             .n = spec.head_dim,
                             .k = length,
                             .layout = Layout::kTn};
    add(scores, part * (passes + (backward ? 1 : 0)));
    add(values, part * (passes + (backward ? 1 : 0)));
    if (backward) add(transposed, part * 2);
  }

  void add(const Product& product, double times) { list.push_back({product, times}); }

  std::vector<ScheduledProduct> list;

 private:
  int64_t rows_;
};

// [batch,] rows x columns, in memory the other way round where `transposed`. Random numbers of a
// generator of their own: a run's stay what they are.
at::Tensor made(int64_t batch, int64_t rows, int64_t columns, bool transposed,
                const at::TensorOptions& options) {
  if (transposed) std::swap(rows, columns);
  at::Tensor values =
      batch == 1 ? at::empty({rows, columns}, options) : at::empty({batch, rows, columns}, options);
  values.normal_(0, 1, at::globalContext().defaultGenerator(options.device()).clone());
  return transposed ? values.transpose(-1, -2) : values;
}

}  // namespace

double Product::flops() const {
  return 2.0 * static_cast<double>(batch) * static_cast<double>(m) * static_cast<double>(n) *
         static_cast<double>(k);
}

std::string Product::text() const {
  static constexpr const char* kNames[] = {" NT", " NN", " TN"};
  const auto number = [](int64_t i) { return std::to_string(i); };
  return (batch > 1 ? number(batch) + " * " : "") + number(m) + " x " + number(n) + " x " +
         number(k) + kNames[static_cast<int>(layout)];
}

StepSchedule schedule_of(const Decoder& teacher, int64_t sequences, int64_t length,
                         bool recompute) {
  const bool is_wide = teacher.compute_dtype() == at::kFloat;
  const auto* head = dynamic_cast<const DenseLinear*>(teacher.head().linear.get());
  const bool is_mixed = is_wide && head != nullptr && head->weight().scalar_type() == at::kBFloat16;
  return {.sequences = sequences,
          .length = length,
          .recompute = recompute,
          .signs = is_wide && has_fast_mixed_products(teacher.device()),
          .teacher = is_mixed,
          .head = is_mixed};
}

std::vector<ScheduledProduct> step_products(const ModelSpec& spec, std::span<const LayerPlan> plans,
                                            const StepSchedule& step) {
  const int64_t rows = step.sequences * step.length;
  Schedule schedule(rows);
  // Activation checkpointing runs the student's blocks forward a second time.
  const double student_passes = step.recompute ? 2 : 1;
  for (const LayerPlan& plan : plans) {
    const int64_t rank = plan.rank * plan.paths;
    // The teacher's dense layer, then the student's two factors.
    schedule.forward(plan.d_out, plan.d_in, 1, step.teacher);
    schedule.forward(rank, plan.d_in, student_passes, step.signs);
    schedule.forward(plan.d_out, rank, student_passes, step.signs);
    schedule.backward(rank, plan.d_in, 1, step.signs);
    schedule.backward(plan.d_out, rank, 1, step.signs);
  }
  schedule.attention(spec, step.sequences, step.length, 1 + student_passes, /*backward=*/true);
  const int64_t chunk = std::min(rows, head_rows(spec.vocab_size));
  const double chunks = static_cast<double>(rows) / static_cast<double>(chunk);
  // The head: logits of both models, and the gradient at the student's input to it.
  schedule.add({.m = chunk, .n = spec.vocab_size, .k = spec.embedding_size, .is_mixed = step.head},
               2 * chunks);
  schedule.add({.m = chunk,
                .n = spec.embedding_size,
                .k = spec.vocab_size,
                .layout = Layout::kNn,
                .is_mixed = step.head},
               chunks);
  return std::move(schedule.list);
}

// For comparison: a step that trains the dense model itself, without a teacher.
std::vector<ScheduledProduct> dense_products(const ModelSpec& spec,
                                             std::span<const LayerPlan> plans, int64_t sequences,
                                             int64_t length) {
  Schedule schedule(sequences * length);
  for (const LayerPlan& plan : plans) {
    schedule.forward(plan.d_out, plan.d_in, 1);
    schedule.backward(plan.d_out, plan.d_in, 1);
  }
  schedule.attention(spec, sequences, length, 1, /*backward=*/true);
  schedule.forward(spec.vocab_size, spec.embedding_size, 1);
  schedule.backward(spec.vocab_size, spec.embedding_size, 1);
  return std::move(schedule.list);
}

double ProductTimes::seconds(const Product& product) {
  const auto found = known_.find(product.key());
  if (found != known_.end()) return found->second;
  const c10::NoGradGuard no_grad;
  const auto options = at::TensorOptions().dtype(dtype_).device(timer_.device());
  const auto [batch, m, n, k, layout, is_mixed] = product.key();
  const at::Tensor a = made(batch, m, k, layout == Layout::kTn, options);
  // The real head where it has the shape: a matrix of that size need not be made once more.
  const bool is_head =
      batch == 1 && head_.defined() && layout != Layout::kTn &&
      head_.scalar_type() == (is_mixed ? at::kBFloat16 : dtype_) &&
      (layout == Layout::kNt ? head_.t() : head_).sizes() == at::IntArrayRef({k, n});
  const auto of_b = is_mixed ? options.dtype(at::kBFloat16) : options;
  const at::Tensor b = !is_head                ? made(batch, k, n, layout == Layout::kNt, of_b)
                       : layout == Layout::kNt ? head_.t()
                                               : head_;
  return known_[product.key()] = timer_.cold({a, b}, [&] {
    batch == 1 ? matmul_nt(a, b.t()) : at::matmul(a, b);  // what the program calls
  });
}

std::optional<double> ProductTimes::seconds_within(double budget,
                                                   std::span<const ScheduledProduct> products) {
  std::vector<Product> small_first;
  for (const ScheduledProduct& each : products) small_first.push_back(each.product);
  // Small ones are timed first and tell how fast the machine is; large ones are then not begun
  // where they would not end in time.
  std::stable_sort(small_first.begin(), small_first.end(),
                   [](const Product& a, const Product& b) { return a.flops() < b.flops(); });
  const Stopwatch stopwatch;
  double rate = 0;  // the best so far: a product takes no less than its arithmetic at it
  for (const Product& each : small_first) {
    if (known_.count(each.key()) > 0) continue;
    const double runs = static_cast<double>(timer_.repeats() + 1);
    const double least = rate > 0 ? runs * each.flops() / rate : 0;
    if (stopwatch.seconds() + least > budget || !has_room_for(each)) return std::nullopt;
    rate = std::max(rate, each.flops() / seconds(each));
  }
  if (stopwatch.seconds() > budget) return std::nullopt;
  return seconds(products);
}

// Half of what is free: whoever runs beside it goes on.
bool ProductTimes::has_room_for(const Product& product) const {
  const auto [batch, m, n, k, layout, is_mixed] = product.key();
  const auto bytes = static_cast<double>(c10::elementSize(dtype_)) * static_cast<double>(batch) *
                     (static_cast<double>(m) * static_cast<double>(k) +
                      static_cast<double>(k) * static_cast<double>(n) +
                      static_cast<double>(m) * static_cast<double>(n));
  return bytes + static_cast<double>(timer_.bytes_for_operands()) <
         free_memory(timer_.device()) / 2;
}

double ProductTimes::seconds(std::span<const ScheduledProduct> products) {
  double sum = 0;
  for (const ScheduledProduct& each : products) sum += each.times * seconds(each.product);
  return sum;
}

}  // namespace littlebit
