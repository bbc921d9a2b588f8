// Sizes of layers and packed files, computed from the shapes of a decoder that holds no
// weights, and the tables that show them.
#include "plan.h"

#include <algorithm>
#include <map>

#include "export_model.h"
#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/distill/kl_divergence.h"
#include "littlebit/export/folder.h"
#include "littlebit/export/stored_rows.h"
#include "littlebit/logging/console.h"
#include "littlebit/logging/table.h"
#include "littlebit/models/architectures.h"

namespace littlebit {
namespace {

std::string kind_of(const LayerPlan& plan) { return plan.name.substr(plan.name.rfind('.') + 1); }

double weights_of(const LayerPlan& plan) {
  return static_cast<double>(plan.d_in) * static_cast<double>(plan.d_out);
}

// Layers of one kind and plan.
struct Row {
  int64_t count = 0;
  const LayerPlan* plan = nullptr;
  double error = 0;  // summed
};

std::vector<std::string> cells_of(const Row& row, bool with_error) {
  const LayerPlan& plan = *row.plan;
  const double stored = static_cast<double>(plan.stored_bits());
  std::vector<std::string> cells = {
      kind_of(plan),
      std::to_string(row.count),
      std::to_string(plan.d_out) + " x " + std::to_string(plan.d_in),
      std::to_string(plan.rank),
      std::to_string(plan.paths),
      format_fixed(plan.effective_bits(), 3),
      format_fixed(stored / weights_of(plan), 3),
      format_bytes(static_cast<uint64_t>(stored / 8 * static_cast<double>(row.count)))};
  if (with_error) cells.push_back(format_fixed(row.error / static_cast<double>(row.count), 4));
  cells.push_back(plan.at_floor ? "at quant.min_rank" : plan.at_cap ? "at full rank" : "");
  return cells;
}

// Layers too small for the bits asked for, by name: their ranks end at quant.min_rank.
void warn_of_floors(const Session& session) {
  constexpr size_t kMaxNames = 8;
  std::vector<std::string> names;
  for (const LayerPlan& plan : session.plans) {
    if (plan.at_floor) names.push_back(plan.name + " " + format_fixed(plan.effective_bits(), 3));
  }
  if (names.empty()) return;
  const size_t more = names.size() - std::min(names.size(), kMaxNames);
  names.resize(names.size() - more);
  log_warning("layers too small for quant.bits_per_weight=" +
              format_fixed(session.options.quant.bits_per_weight, 3) +
              "; at quant.min_rank=" + std::to_string(session.options.quant.min_rank) +
              " their bits per weight are: " + join(names, ", ") +
              (more > 0 ? " and " + std::to_string(more) + " more" : ""));
}

// Numbers of a model outside its linear layers, and their biases.
struct Sizes {
  uint64_t linears = 0, biases = 0, norms = 0, embeddings = 0, head = 0;
};

Sizes sizes_of(Decoder& decoder) {
  const ModelSpec& spec = decoder.spec();
  Sizes sizes;
  decoder.visit_linears([&](LinearSlot& slot) {
    sizes.linears += static_cast<uint64_t>(slot.d_in) * static_cast<uint64_t>(slot.d_out);
    if (slot.has_bias) sizes.biases += static_cast<uint64_t>(slot.d_out);
  });
  decoder.visit_parameters(
      [&](Parameter& parameter) { sizes.norms += static_cast<uint64_t>(parameter.size); });
  sizes.head = static_cast<uint64_t>(spec.vocab_size) * static_cast<uint64_t>(spec.embedding_size);
  sizes.embeddings = sizes.head;
  if (spec.learned_positions) {
    sizes.embeddings += static_cast<uint64_t>(spec.max_positions + spec.position_offset) *
                        static_cast<uint64_t>(spec.hidden_size);
  }
  return sizes;
}

// Of the packed export (specs section 7), without headers, shapes and buffers.
ByteTable packed_bytes(Decoder& decoder, std::span<const LayerPlan> plans,
                       const ExportOptions& options) {
  const Sizes sizes = sizes_of(decoder);
  const ModelSpec& spec = decoder.spec();
  const RowFormats formats = row_formats(options, spec.tied_embeddings);
  const auto matrix = [&](RowFormat format) {
    return stored_bytes(spec.vocab_size, spec.embedding_size, format, formats.group_size);
  };
  const bool one = spec.tied_embeddings && formats.embedding != RowFormat::kBf16;
  ByteTable bytes{.biases = 2 * sizes.biases,
                  .norms = 2 * sizes.norms,
                  .embeddings = 2 * (sizes.embeddings - sizes.head) + matrix(formats.embedding),
                  .head = one ? 0 : matrix(formats.head)};
  for (const LayerPlan& plan : plans) {
    const auto scales =
        static_cast<uint64_t>(plan.paths * 2 * (plan.d_in + plan.d_out + 2 * plan.rank));
    bytes.scales += scales;
    bytes.signs += static_cast<uint64_t>(plan.stored_bits() / 8) - scales;
  }
  return bytes;
}

}  // namespace

void print_model(const Session& session) {
  const ModelSpec& spec = session.spec;
  log_info("model: " + spec.model_type + ", " + std::to_string(spec.num_layers) + " blocks of " +
           std::to_string(spec.hidden_size) + ", vocabulary " + format_count(spec.vocab_size) +
           (spec.tied_embeddings ? ", head tied to the embedding" : "") +
           (spec.left_out.empty() ? "" : "; left out: " + spec.left_out));
}

void print_plan(const Session& session, std::span<const LayerReport> layers) {
  std::vector<std::string> order;
  std::map<std::string, Row> rows;
  double bits = 0, stored = 0, weights = 0;
  for (size_t i = 0; i < session.plans.size(); ++i) {
    const LayerPlan& plan = session.plans[i];
    const std::string key = kind_of(plan) + "/" + std::to_string(plan.d_out) + "/" +
                            std::to_string(plan.d_in) + "/" + std::to_string(plan.rank);
    if (!rows.count(key)) order.push_back(key);
    Row& row = rows[key];
    ++row.count;
    row.plan = &plan;
    if (!layers.empty()) row.error += layers[i].relative_error;
    bits += plan.effective_bits() * weights_of(plan);
    stored += static_cast<double>(plan.stored_bits());
    weights += weights_of(plan);
  }
  const bool with_error = !layers.empty();
  std::vector<std::string> header = {"layer", "number",      "shape",  "rank",
                                     "paths", "bits/weight", "stored", "bytes"};
  if (with_error) header.push_back("relative error");
  header.push_back("");
  Table table(header, {0, header.size() - 1});
  for (const std::string& key : order) table.add(cells_of(rows[key], with_error));
  table.print();
  log_info(std::to_string(session.plans.size()) + " linear layers, " +
           format_count(static_cast<int64_t>(weights)) +
           " weights: " + format_fixed(bits / weights, 3) +
           " bits per weight by the paper's formula, " + format_fixed(stored / weights, 3) +
           " as stored (" + format_bytes(static_cast<uint64_t>(stored / 8)) + ")");
  warn_of_floors(session);
}

void print_sizes(const Session& session) {
  Decoder shape = empty_decoder(session.spec, session.dtype, at::Device(at::kCPU));
  const Sizes sizes = sizes_of(shape);
  const ByteTable packed = packed_bytes(shape, session.plans, session.options.export_);
  const uint64_t head = session.spec.tied_embeddings ? 0 : 2 * sizes.head;
  Table table({"part", "16-bit model", "packed"});
  const auto row = [&](const char* name, uint64_t before, uint64_t after) {
    if (before || after) table.add({name, format_bytes(before), format_bytes(after)});
  };
  row("linear layers", 2 * sizes.linears, packed.signs + packed.scales);
  row("biases", 2 * sizes.biases, packed.biases);
  row("norms", 2 * sizes.norms, packed.norms);
  row("embeddings", 2 * sizes.embeddings, packed.embeddings);
  row("head", head, packed.head);
  row("total", 2 * (sizes.linears + sizes.biases + sizes.norms + sizes.embeddings) + head,
      packed.total());
  table.print();
}

void warn_of_few_updates(const Session& session, int64_t steps) {
  // docs/results.md: what the recipe was measured with, and where less begins to cost much.
  constexpr int64_t kEnough = 480, kFew = 200;
  const RunOptions& options = session.options;
  const int64_t batch = options.train.sequences_per_step(), world = session.processes->world();
  if (options.recipe.recipe != kBestRecipe || steps == 0 || steps >= kFew) return;
  const int64_t sequences = steps * batch;
  const int64_t smaller = std::max<int64_t>(1, sequences / (kEnough * world)) * world;
  if (smaller >= batch) return;
  const std::string updates = std::to_string(sequences / smaller);
  log_warning(std::to_string(steps) + " updates of " + std::to_string(batch) +
              " sequences are few: train.global_batch_size=" + std::to_string(smaller) +
              " would give " + updates + " from the same text" +
              (options.train.steps > 0 ? " (with train.steps=" + updates + ")" : "") +
              ", and a better model");
}

}  // namespace littlebit
