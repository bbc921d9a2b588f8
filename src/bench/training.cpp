// Cases `step` and `dense`: the time of a training step, of its parts, and of its products alone.
#include <ATen/TensorOperators.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/randint.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "cases.h"
#include "littlebit/core/error.h"
#include "littlebit/core/signals.h"
#include "littlebit/core/stopwatch.h"
#include "littlebit/device/memory.h"
#include "littlebit/device/part_clock.h"
#include "littlebit/distill/step.h"
#include "littlebit/logging/progress.h"
#include "littlebit/nn/autograd.h"
#include "littlebit/nn/linear.h"
#include "littlebit/optim/gradient_reducer.h"
#include "synthetic.h"

namespace littlebit {
namespace {

// Small: latents stay where they are, however many steps are timed.
constexpr double kLearningRate = 1e-6;

std::string batch_text(const StepRun& run) {
  return (run.micro_batches > 1 ? std::to_string(run.micro_batches) + " x " : "") +
         std::to_string(run.micro_batch_size) + " x " + std::to_string(run.sequence_length);
}

at::Tensor random_ids(const StepRun& run, const ModelSpec& spec, at::Device device) {
  return at::randint(spec.vocab_size, {run.micro_batch_size, run.sequence_length}, at::kLong)
      .to(device);
}

// Seconds of one call: the median of the timer's repeats, fewer where a call takes long.
template <class Work>
double timed(const BenchSetup& setup, Progress& progress, const Work& work) {
  work();  // not counted: memory is fetched, kernels are loaded
  synchronize(setup.device());
  std::vector<double> seconds;
  double total = 0;
  constexpr double kEnough = 20;  // seconds
  const int64_t repeats = setup.timer.repeats();
  for (int64_t i = 0; i < repeats && (i == 0 || total < kEnough); ++i) {
    if (stop_requested()) throw Error(ExitCode::kStopped, "stopped while measuring");
    const Stopwatch stopwatch;
    work();
    synchronize(setup.device());
    seconds.push_back(stopwatch.seconds());
    total += seconds.back();
    progress.update(i + 1);
  }
  return median(std::move(seconds));
}

void add_rates(Json& row, const StepRun& run, double product_seconds) {
  const double seconds = row.at("seconds");
  row["batch"] = batch_text(run);
  row["levers"] = run.levers();
  row["blocks"] = run.blocks;
  row["tokens_per_second"] =
      static_cast<double>(run.micro_batches * run.micro_batch_size * run.sequence_length) / seconds;
  row["product_seconds"] = product_seconds;
  row["share"] = product_seconds / seconds;
}

Json measure_run(const BenchSetup& setup, const StepRun& run, ProductTimes& products) {
  PeakMemory memory(setup.device());
  RandomTraining training(setup.options.stack, run, setup.dtype, setup.device());
  const ModelSpec& spec = training.teacher.spec();
  DistillationStep step(training.teacher, *training.student, {}, Recompute::kFull, run.inputs);
  GradientReducer reducer(*training.optimizer, {}, run.micro_batches);
  const at::Tensor ids = random_ids(run, spec, setup.device());
  memory.reset();  // a teacher that was written is gone
  constexpr int kParts = static_cast<int>(std::size(kStepParts));
  PartClock clock(setup.device(), kParts);
  step.set_clock(&clock);
  std::vector<std::vector<double>> parts(kParts);
  int64_t number = 0;
  DistillationLoss second_loss;
  StepStatistics second;
  Progress progress("step at " + std::to_string(run.blocks) + " blocks", setup.timer.repeats(),
                    "steps");
  Json row = {{"bits", run.bits}};
  row["seconds"] = timed(setup, progress, [&] {
    DistillationLoss loss;
    for (int64_t i = 0; i < run.micro_batches; ++i) {
      reducer.begin_micro_batch();
      loss += step.accumulate(ids, run.micro_batches * run.micro_batch_size, reducer);
    }
    clock.enter(static_cast<int>(StepPart::kOptimizer));
    reducer.finish();
    const StepStatistics done = training.optimizer->step(
        ++number, {.latents = kLearningRate, .scales = kLearningRate, .norms = kLearningRate});
    if (number == 2) {
      second_loss = loss;
      second = done;
    }
    const std::vector<double> seconds = clock.take();
    if (number == 1) return;  // the one that is not counted
    for (int p = 0; p < kParts; ++p) parts[p].push_back(seconds[p]);
  });
  row["peak_bytes"] = memory.bytes();
  // After one update: what levers are held against.
  row["step_loss"] = second_loss.total().item<double>();
  row["gradient_norm"] = second.read_gradient_norm();
  for (int p = 0; p < kParts; ++p) row[kStepParts[p]] = median(parts[p]);
  const std::vector<ScheduledProduct> list =
      step_products(spec, training.plans,
                    schedule_of(training.teacher, run.micro_batch_size, run.sequence_length, true));
  add_rates(row, run, static_cast<double>(run.micro_batches) * products.seconds(list));
  Json each = Json::array();
  for (const ScheduledProduct& product : list) {
    each.push_back(
        {{"product", product.product.text()},
         {"times", product.times * static_cast<double>(run.micro_batches)},
         {"seconds", products.seconds(product.product)},
         {"gflops", product.product.flops() / products.seconds(product.product) * 1e-9}});
  }
  row["products"] = std::move(each);
  return row;
}

// Runs that differ in their blocks only, as a line through the two with the fewest; the row with as
// many blocks as the whole model, where there is one, beside it.
Json extrapolate(const Json& rows, int64_t blocks) {
  using Key = std::tuple<double, std::string, std::string>;
  std::map<Key, std::map<int64_t, const Json*>> runs;
  for (const Json& row : rows) {
    runs[{row.at("bits"), row.at("batch"), row.at("levers")}][row.at("blocks")] = &row;
  }
  Json result = Json::array();
  for (const auto& [key, by_blocks] : runs) {
    if (by_blocks.size() < 2) continue;
    const auto few = by_blocks.begin(), more = std::next(few);
    const auto line = [&](const char* what) {
      const double a = few->second->at(what), b = more->second->at(what);
      const double per_block = (b - a) / static_cast<double>(more->first - few->first);
      return std::pair(a - per_block * static_cast<double>(few->first), per_block);
    };
    const auto [fixed, per_block] = line("seconds");
    const auto [fixed_bytes, bytes_per_block] = line("peak_bytes");
    const double seconds = fixed + per_block * static_cast<double>(blocks);
    const double tokens = few->second->at("tokens_per_second").get<double>() *
                          few->second->at("seconds").get<double>();
    Json row = {{"bits", std::get<0>(key)},
                {"batch", std::get<1>(key)},
                {"levers", std::get<2>(key)},
                {"fixed", fixed},
                {"per_block", per_block},
                {"blocks", blocks},
                {"seconds", seconds},
                {"tokens_per_second", tokens / seconds},
                {"peak_bytes", fixed_bytes + bytes_per_block * static_cast<double>(blocks)}};
    const auto whole = by_blocks.find(blocks);
    if (whole != by_blocks.end() && whole != few && whole != more) {
      row["measured"] = whole->second->at("seconds");
      row["measured_bytes"] = whole->second->at("peak_bytes");
    }
    result.push_back(std::move(row));
  }
  return result;
}

}  // namespace

Json measure_step(const BenchSetup& setup) {
  Json rows = Json::array();
  ProductTimes products(setup.timer, setup.dtype);
  for (const StepRun& run : setup.options.cases.steps) {
    rows.push_back(measure_run(setup, run, products));
  }
  Json extrapolated = extrapolate(rows, setup.options.stack.blocks);
  return {{"rows", std::move(rows)}, {"extrapolated", std::move(extrapolated)}};
}

Json measure_dense(const BenchSetup& setup) {
  Json rows = Json::array();
  ProductTimes products(setup.timer, setup.dtype);
  for (const StepRun& run : setup.options.cases.dense) {
    const ModelSpec spec = stack_spec(setup.options.stack, run.blocks, run.sequence_length);
    const PeakMemory memory(setup.device());
    Decoder decoder = random_decoder(spec, setup.dtype, setup.device(), /*trainable=*/true);
    std::vector<at::Tensor> weights = {dense_weight(decoder.head())};
    decoder.visit_linears([&](LinearSlot& slot) { weights.push_back(dense_weight(slot)); });
    const at::Tensor ids = random_ids(run, spec, setup.device());
    const SequenceContext context = decoder.context(run.sequence_length);
    Progress progress("dense, " + std::to_string(run.blocks) + " blocks", setup.timer.repeats(),
                      "passes");
    Json row;
    row["seconds"] = timed(setup, progress, [&] {
      const c10::AutoGradMode with_grad(true);
      at::Tensor h = decoder.embedding_forward(ids);
      for (int64_t layer = 0; layer < spec.num_layers; ++layer) {
        h = decoder.block_forward(layer, h, context);
      }
      // Not head_forward, whose unrounded sums have no history in bf16.
      const at::Tensor z = decoder.tail_forward(h).to(setup.dtype);
      const at::Tensor logits = decoder.head().linear->forward(z).to(decoder.residual_dtype());
      const at::Tensor loss = at::cross_entropy_loss(logits.flatten(0, 1), ids.flatten());
      gradients({loss}, {at::ones_like(loss)}, weights);
    });
    row["peak_bytes"] = memory.bytes();
    const std::vector<LayerPlan> plans = plans_at(decoder, 1);
    add_rates(
        row, run,
        products.seconds(dense_products(spec, plans, run.micro_batch_size, run.sequence_length)));
    rows.push_back(std::move(row));
  }
  return {{"rows", std::move(rows)}};
}

}  // namespace littlebit
