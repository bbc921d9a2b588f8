// The declarations of a run's options, and the checks that need more than one of them. All mistakes
// are collected, not only the first.
#include "littlebit/train/options.h"

#include <algorithm>
#include <charconv>

#include "littlebit/core/strings.h"

namespace littlebit {

namespace {

constexpr int64_t kMaxSteps = 1'000'000'000'000;
constexpr int64_t kMaxTokens = int64_t{1} << 62;  // of a run: counts of them stay in 64 bits

// "90" -> 90 minutes, "90:30" with seconds, "1:30:00", "2-12", "2-12:00", "2-12:00:00" with days:
// as Slurm's --time. Seconds; nothing where it is none of them, or 0.
std::optional<double> parse_time(std::string_view text) {
  double days = 0;
  const size_t dash = text.find('-');
  const bool has_days = dash != std::string_view::npos;
  const auto number_of = [](std::string_view digits) -> std::optional<double> {
    int64_t number = 0;
    const auto [stop, code] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (digits.empty() || digits.size() > 7 || stop != digits.data() + digits.size() ||
        code != std::errc() || number < 0) {
      return std::nullopt;
    }
    return static_cast<double>(number);
  };
  if (has_days) {
    const auto number = number_of(text.substr(0, dash));
    if (!number) return std::nullopt;
    days = *number;
    text = text.substr(dash + 1);
  }
  std::vector<double> fields;
  for (const std::string& field : split(text, ':')) {
    const auto number = number_of(field);
    if (!number) return std::nullopt;
    fields.push_back(*number);
  }
  if (fields.size() > 3) return std::nullopt;
  // Seconds that a unit of the first field has.
  const double first = has_days || fields.size() == 3 ? 3600 : 60;
  double seconds = days * 86400, unit = first;
  for (const double field : fields) {
    seconds += field * unit;
    unit /= 60;
  }
  return seconds > 0 ? std::optional(seconds) : std::nullopt;
}

}  // namespace

void TrainOptions::declare(OptionGroup& group) {
  group.integer("steps", &steps, {.min = 0, .max = kMaxSteps},
                "Optimizer steps; 0: as train.epochs says. Give one of the two.",
                {Decides::kRunResolved});
  group.number(
      "epochs", &epochs, {.min = 0, .max = 1e6},
      "Passes over the training blocks: steps = floor(epochs * blocks / global_batch_size).",
      {Decides::kRunResolved});
  group.integer("stop_after", &stop_after, {.min = 0, .max = kMaxSteps},
                "Stop cleanly after this step, with a checkpoint; the schedule stays that of all "
                "steps. 0: never.");
  group.integer("micro_batch_size", &micro_batch_size, {.min = 1, .max = 1 << 20},
                "Sequences that run through the model at once: memory and speed, not results.");
  group.integer(
      "global_batch_size", &global_batch_size, {.min = 0, .max = 1 << 24},
      "Sequences per optimizer step, reached by gradient accumulation; 0: train.micro_batch_size.",
      {Decides::kRunResolved});
  group.choice("dtype", &dtype, {"auto", "fp32", "bf16"},
               "Type of matrix products. auto: what is fast on the device; fp32 on CPUs, bf16 on "
               "GPUs.",
               {Decides::kRunResolved});
  group.choice("device", &device, {"auto", "cpu", "cuda"},
               "Where to compute. auto: the GPU where one can be used.");
  group.integer("seed", &seed, {.min = 0}, "Seed of every random draw (SVD, shuffle).",
                {Decides::kStart, Decides::kRun});
  group.choice("recompute", &recompute, {"auto", "full", "none"},
               "Activation checkpointing. full: re-run each block in the backward pass, least "
               "memory. none: keep every block's "
               "activations, about 15 % faster. auto: none where, by the estimate, that takes at "
               "most half of the free memory, else full. The numbers are the same.");
  group.choice(
      "block_inputs", &inputs.type, {"full", "bf16"},
      "Type in which a block's input, and the difference of its output from the teacher's, "
      "are kept for the backward pass with train.recompute=full. full: unchanged. bf16: rounded, "
      "half the bytes.",
      {Decides::kRunChangeable});
  group.choice(
      "block_inputs_device", &inputs.place, {"device", "cpu"},
      "Where they are kept. cpu: in pinned memory of a GPU's host; the numbers are the same. "
      "On CPUs there is no difference.");
  group.integer("threads", &threads, {.min = 0, .max = 4096},
                "CPU threads; 0: every core this process may use.");
  group.choice(
      "teacher", &teacher, {"auto", "replicated", "sharded", "spread", "streamed"},
      "With several processes: replicated: each holds the whole teacher. sharded: each holds "
      "a part of every block, which is gathered when it runs, among the processes of its host "
      "where that has several. spread: the same among all processes, for a teacher that no host "
      "can hold; blocks travel between hosts. streamed, of one process or several: blocks are read "
      "from the files each time they run, and a device holds two of them. auto: sharded on GPUs "
      "that it would not fit into, else replicated; streamed where neither fits, and on CPUs whose "
      "products need another type than the files have.");
  group.choice("gradient_reduce", &reduce.when, {"auto", "step", "microbatch"},
               "When gradients are summed over processes. step: after the last micro-batch, each "
               "process keeps sums of all of them. microbatch: after each, then it keeps its "
               "slice of them. auto: microbatch where there are several processes.");
  group.choice("reduce_dtype", &reduce.dtype, {"fp32", "bf16"},
               "Type in which processes send gradients of sign matrices. bf16: half the bytes, "
               "rounded; they are still summed in fp32.",
               {Decides::kRunChangeable}, FloatKind::kFp32);
  group.text(
      "time_limit", &time_limit,
      "How long the program may run: minutes, or [DAYS-]HH:MM:SS as Slurm's --time. It stops "
      "by itself in time to save, with exit code 143. \"\": as long as it takes.");
  group.number("peer_timeout", &peer_timeout, {.min = 1, .max = 86400},
               "Seconds that a process waits for the others in a step (not the first) before it "
               "considers them lost.");
}

std::optional<double> TrainOptions::limit_seconds() const { return parse_time(time_limit); }

void CheckpointOptions::declare(OptionGroup& group) {
  group.integer("every", &every, {.min = 0},
                "Steps between checkpoints; 0: only by the clock, and at the end.");
  group.number("every_minutes", &every_minutes, {.min = 0, .max = 1e6},
               "Longest time between checkpoints, in minutes; 0: only by steps.");
  group.integer("keep", &keep, {.min = 0}, "Number of newest checkpoints that are kept; 0: all.");
  group.flag("async", &async,
             "Copy the state and write it in a thread while training goes on; the copy takes as "
             "much memory as the process's part of a checkpoint. false: a step waits for it.");
}

void ExportOptions::declare(OptionGroup& group) {
  group.texts("formats", &formats,
              "What is written at the end: packed (the authors' format), dense (effective weights "
              "as a plain "
              "Hugging Face folder), dbf (for OneCompression's vLLM plugin; models of one path, "
              "quant.residual=false), several of them, or nothing ([]).");
  group.choice("dense_dtype", &dense_dtype, {"auto", "fp32", "bf16"},
               "Type of the dense export's tensors; auto: fp32.");
  group.choice("embeddings", &embeddings, {"auto", "bf16", "int8", "int4"},
               "How the packed export holds the embedding. int8, int4: integers with one scale for "
               "each group of them; only this program reads such a folder. auto: as "
               "export.head where the two are one matrix, else bf16.");
  group.choice("head", &head, {"auto", "bf16", "int8", "int4"},
               "The same for the head. auto: as export.embeddings where the two are one matrix, "
               "else bf16.");
  group.choice("group_size", &group_size, {"auto", "32", "64", "128"},
               "How many numbers of an int8 or int4 row share one scale; auto: 64 for "
               "int8, 32 for int4.");
}

void ExportOptions::check(OptionTree& tree) const {
  for (const std::string& format : formats) {
    if (format != "packed" && format != "dense" && format != "dbf") {
      tree.add_error_at("export.formats",
                        "names \"" + format + "\"; known are packed, dense and dbf");
    }
  }
}

bool ExportOptions::writes(const std::string& format) const {
  return std::find(formats.begin(), formats.end(), format) != formats.end();
}

void EvalScheduleOptions::declare(OptionGroup& group) {
  group.integer("every", &every, {.min = 0},
                "Steps between scores of the student; 0: before and after training only.");
}

void LogOptions::declare(OptionGroup& group) {
  group.integer("every", &every, {.min = 1}, "Steps between lines of metrics.jsonl.");
  group.flag("tensorboard", &tensorboard,
             "Also write the metrics and scores as TensorBoard events (output.dir/tensorboard).");
}

void OutputOptions::declare(OptionGroup& group) {
  group.path("dir", &dir,
             "The run's folder: configuration, metrics, checkpoints, exports, report.");
}

void RunOptions::declare(OptionTree& tree) {
  tree.add("", "", recipe);
  tree.add("model", "The teacher", model);
  tree.add("quant", "How linear layers become LittleBit layers", quant);
  tree.add("data", "Training text", data);
  tree.add("distill", "Knowledge distillation: what the student learns from the teacher", distill);
  tree.add("blockwise", "Block-wise training before that", blockwise);
  tree.add("optim", "Optimizer and learning-rate schedule", optim);
  tree.add("train", "The run", train);
  tree.add("checkpoint", "Saving", checkpoint);
  tree.add("eval", "Scoring before, during and after training", eval);
  tree.add("eval", "", eval_schedule);
  tree.add("export", "Exported models", export_);
  tree.add("log", "Metrics", log);
  tree.add("output", "The run's folder", output);
}

void RunOptions::check_plan(OptionTree& tree) const {
  if (model.path.empty())
    tree.add_error_at("model.path", "is not set: give the teacher's Hugging Face folder");
  if (quant.starts_from_file() && quant.init_file.empty()) {
    tree.add_error_at("quant.init_file", "is not set, but quant.init is file");
  }
  if (!quant.starts_from_file() && !quant.init_file.empty()) {
    tree.add_error_at("quant.init_file", "is set, but quant.init is not file");
  }
}

void RunOptions::check(OptionTree& tree) const {
  check_plan(tree);
  if (output.dir.empty()) tree.add_error_at("output.dir", "is not set: give a folder for the run");
  if (data.train.empty())
    tree.add_error_at("data.train", "is empty: give at least one source of training text");
  if (train.steps > 0 && train.epochs > 0) {
    tree.add_error_at("train.epochs", "contradicts train.steps: give one of the two");
  }
  if (blockwise.sequences % std::max<int64_t>(1, blockwise.batch_size) != 0) {
    tree.add_error_at("blockwise.sequences", "is not a multiple of blockwise.batch_size, " +
                                                 std::to_string(blockwise.batch_size));
  }
  if (train.steps == 0 && train.epochs == 0 && blockwise.sequences == 0) {
    tree.add_error_at("train.steps", "is 0 and so is train.epochs: say how long to train");
  }
  if (train.recompute == Recompute::kNone) {
    const std::string no_inputs =
        ", but train.recompute is none: blocks keep their activations then, not their inputs";
    if (train.inputs.type == BlockInputs::kBf16) {
      tree.add_error_at("train.block_inputs", "is bf16" + no_inputs);
    }
    if (train.inputs.place == InputsPlace::kCpu) {
      tree.add_error_at("train.block_inputs_device", "is cpu" + no_inputs);
    }
  }
  if (!train.time_limit.empty() && !train.limit_seconds()) {
    tree.add_error_at("train.time_limit", "is \"" + train.time_limit +
                                              "\", expected minutes (90) or a time of more than 0 "
                                              "as Slurm writes it (1:30:00, 2-12:00:00)");
  }
  // At most 2^24 * 2^20: values outside of their ranges are not taken over.
  const int64_t tokens_per_step = train.sequences_per_step() * data.sequence_length;
  if (tokens_per_step > 0 && train.steps > kMaxTokens / tokens_per_step) {
    tree.add_error_at("train.steps",
                      "is too many: with train.global_batch_size sequences of data.sequence_length "
                      "tokens a step, the run would have more than 2^62 tokens");
  }
  export_.check(tree);
  if (eval_schedule.every > 0 && eval.tasks.empty() && eval.text.empty()) {
    tree.add_error_at("eval.every",
                      "is set, but neither eval.tasks nor eval.text says what to score");
  }
}

}  // namespace littlebit
