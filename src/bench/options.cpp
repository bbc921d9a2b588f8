// The one declaration of littlebit-bench's options.
#include "littlebit/bench/options.h"

#include <cstdlib>

#include "littlebit/config/option_group.h"
#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"

namespace littlebit {

void BenchRunOptions::declare(OptionGroup& group) {
  group.choice("device", &device, {"auto", "cpu", "cuda"},
               "Where to measure; auto: the GPU where one can be used");
  group.integer("threads", &threads, {.min = 0, .max = 4096},
                "Threads to compute with; 0: every core this process may use");
  group.integer("repeats", &repeats, {.min = 1, .max = 1000},
                "Timed runs of each case after an untimed one; the median is reported");
  group.path("output", &output, "Write the results to this file as JSON");
}

void StackOptions::declare(OptionGroup& group) {
  const IntegerRange size{.min = 1, .max = 1 << 24};
  group.integer("hidden_size", &hidden_size, size, "Hidden size of the synthetic Llama");
  group.integer("intermediate_size", &intermediate_size, size, "Width of its MLPs");
  group.integer("heads", &heads, size, "Attention heads; must divide hidden_size");
  group.integer("kv_heads", &kv_heads, size, "Heads of keys and values; must divide heads");
  group.integer("vocabulary", &vocabulary, size, "Rows of embedding and LM head");
  group.integer("blocks", &blocks, {.min = 1, .max = 4096},
                "Blocks of the whole model: what `step` extrapolates to and `generate` runs");
  group.choice("dtype", &dtype, {"auto", "fp32", "bf16"},
               "Type of the matrix products; auto: bf16 on GPUs, fp32 on CPUs");
}

void StepRun::declare(OptionGroup& group) {
  const IntegerRange size{.min = 1, .max = 1 << 24};
  group.number("bits", &bits, {.min = 0, .max = 64, .min_open = true}, "Bits per weight");
  group.integer("blocks", &blocks, {.min = 1, .max = 4096}, "Blocks of the synthetic Llama");
  group.integer("micro_batch_size", &micro_batch_size, size, "Sequences per micro-batch");
  group.integer("micro_batches", &micro_batches, size, "Micro-batches per step");
  group.integer("sequence_length", &sequence_length, size, "Tokens per sequence");
  group.choice("state_device", &state_device, {"device", "cpu"},
               "Where latents and their moments are (optim.state_device)", {},
               StateDevice::kDevice);
  group.choice("moments", &moments, {"fp32", "bf16", "int8"},
               "Type of the latents' moments (optim.moments)");
  group.flag("streams_teacher", &streams_teacher,
             "Teacher's blocks are read from mapped files as they run (train.teacher: streamed)");
  group.choice("block_inputs", &inputs.type, {"full", "bf16"},
               "Type of kept block inputs (train.block_inputs)");
  group.choice("block_inputs_device", &inputs.place, {"device", "cpu"},
               "Where they wait (train.block_inputs_device)");
}

std::string StepRun::levers() const {
  std::vector<std::string> used;
  if (state_device == StateDevice::kCpu) used.emplace_back("state_device cpu");
  if (moments == MomentType::kBf16) used.emplace_back("moments bf16");
  if (moments == MomentType::kInt8) used.emplace_back("moments int8");
  if (streams_teacher) used.emplace_back("teacher streamed");
  if (inputs.type == BlockInputs::kBf16) used.emplace_back("block_inputs bf16");
  if (inputs.place == InputsPlace::kCpu) used.emplace_back("block_inputs_device cpu");
  return used.empty() ? "none" : join(used, ", ");
}

void CaseOptions::declare(OptionGroup& group) {
  group.records("step", &steps, "", "Training steps that `step` measures, one after the other");
  group.records("dense", &dense, "", "Forward and backward passes that `dense` measures");
  group.texts("bits", &bits, "Bits per weight of the packed models of `layers` and `generate`");
  group.texts("rows", &rows, "Rows of activations of `layers`");
  group.texts("shapes", &shapes, "Matrices of `layers` and `svd`, OUTxIN");
  group.texts("operations", &operations, "Operations of `operations`; empty: all");
  group.integer("svd_rank", &svd_rank, {.min = 0, .max = 1 << 20},
                "Rank of `svd`; 0: an eighth of the shorter side");
  group.integer("new_tokens", &new_tokens, {.min = 1, .max = 1 << 20},
                "Tokens that `generate` generates");
  group.path("golden", &golden,
             "Folder of `golden`: every folder below it that holds a model and its "
             "expected.safetensors");
  group.path("matrices", &matrices,
             "safetensors file whose matrices OUTxIN/... `svd` takes instead of synthetic ones");
  group.path("tokenizer", &tokenizer, "Folder of `tokenizer`");
  group.path("text", &text, "Text file of `tokenizer`");
}

void BenchOptions::declare(OptionTree& tree) {
  tree.add("bench", "Measurement", run);
  tree.add("stack", "The synthetic Llama", stack);
  tree.add("case", "What the cases measure", cases);
}

double positive_number(const std::string& key, const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !(value > 0) || value > 1e15) {
    throw UsageError(key + ": '" + text + "' is not a number above 0", "");
  }
  return value;
}

MatrixShape matrix_shape(const std::string& text) {
  const std::vector<std::string> sides = split(text, 'x');
  if (sides.size() != 2) {
    throw UsageError("case.shapes: '" + text + "' is not a shape", "write it as 4096x1024");
  }
  return {.rows = static_cast<int64_t>(positive_number("case.shapes", sides[0])),
          .columns = static_cast<int64_t>(positive_number("case.shapes", sides[1]))};
}

}  // namespace littlebit
