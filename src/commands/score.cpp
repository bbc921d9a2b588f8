// The main command of littlebit-eval. What can fail cheaply is done before what takes long.
#include "littlebit/commands/score.h"

#include <ATen/Parallel.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "littlebit/commands/read_options.h"
#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/core/write_file.h"
#include "littlebit/device/device.h"
#include "littlebit/distributed/agreement.h"
#include "littlebit/eval/environment.h"
#include "littlebit/eval/model.h"
#include "littlebit/eval/results.h"
#include "littlebit/eval/tasks.h"
#include "littlebit/export/load_packed.h"
#include "littlebit/logging/console.h"
#include "littlebit/nn/among_processes.h"
#include "littlebit/tokenizer/folder.h"
#include "model_to_run.h"
#include "output_guard.h"

namespace littlebit {
namespace {

struct ScoreOptions {
  ModelOptions model;
  EvalOptions eval;
  EvalRunOptions run;

  void declare(OptionTree& tree) {
    tree.add("model", "The model to score", model);
    tree.add("eval", "What is scored, and how", eval);
    tree.add("eval", "What is scored, and how", run);
  }
};

// The tasks, once all that the options say was checked.
std::vector<NamedTask> checked_tasks(const ScoreOptions& options) {
  require_model(options.model);
  if (!any_tasks(options.eval)) {
    throw UsageError("nothing to score", "give --tasks with one or more of " +
                                             join(evaluation_tasks(), ", ") +
                                             ", or a text file with --text FILE");
  }
  std::vector<NamedTask> tasks = read_tasks(options.eval);
  if (!options.run.teacher.empty() && !has_divergence(options.eval)) {
    throw UsageError("--teacher: none of the tasks has a divergence",
                     "perplexities of chunks have one, such as wikitext2, or text of --text FILE");
  }
  return tasks;
}

// Done first, so that a place that cannot be written is not found out after hours.
void open_output(const std::filesystem::path& path, std::optional<OutputFile>* file) {
  if (path.empty()) return;
  if (path.has_parent_path()) create_folders(path.parent_path());
  file->emplace(path);
}

// Without a decimal point where there is nothing behind it.
Json whole_number(double value) {
  return value < 1 && value > 0 ? Json(value) : Json(static_cast<int64_t>(value));
}

// What results.json says beside the scores: with what they were made.
Json describe(const ScoreOptions& options, const EvalModel& model, const Tokenizer& tokenizer) {
  const EvalOptions& eval = options.eval;
  return {{"model_hash", model.folder().content_hash()},
          {"model_type", model.decoder().spec().model_type},
          {"packed", model.packed()},
          {"tokenizer",
           {{"description", tokenizer.description()},
            {"hash", tokenizer.content_hash()},
            {"special_tokens", tokenizer.encode("", /*add_special_tokens=*/true)}}},
          {"configuration",
           {{"tasks", eval.tasks},
            {"text", eval.text.string()},
            {"text_field", eval.text_field},
            {"data_root", eval.data_root.string()},
            {"sequence_length", eval.sequence_length},
            {"limit", whole_number(eval.limit)},
            {"batch_size", eval.batch_size == kAutoBatch ? Json(eval.batch_size)
                                                         : Json(std::stoll(eval.batch_size))},
            {"num_fewshot", eval.num_fewshot}}},
          {"environment", environment_json(model.decoder().device(), at::get_num_threads(),
                                           name_of(float_type(options.run.dtype, at::kCPU)))}};
}

// A model with its tasks, open in every process; the first has the files that are written.
class Scoring {
 public:
  Scoring(const ScoreOptions& options, const std::vector<NamedTask>& tasks,
          const std::vector<NamedPath>& outputs, const ProcessPlace& place)
      : options_(options), processes_(place.processes) {
    in_all(processes_, [&] { open(tasks, outputs, place); });
  }

  int run() {
    const BatchSharing sharing(processes_);
    Results results(options_.model.path.string());
    SampleSink sink;
    if (samples_) sink = [&](const Json& line) { samples_->write(to_json_line(line) + "\n"); };
    processes_.enter("scoring", kLongSeconds);
    try {
      const Decoder* teacher = teacher_ ? &teacher_->decoder() : nullptr;
      for (const auto& task : tasks_) {
        results.add(task->run(model_->decoder(), sink, sharing, teacher));
      }
    } catch (const NumericsError&) {  // of the sums, which all processes have
      in_all(processes_, [] { throw; });
    }
    in_all(processes_, [&] {
      if (processes_.is_first()) write(results);
    });
    return static_cast<int>(ExitCode::kDone);
  }

 private:
  void open(const std::vector<NamedTask>& tasks, const std::vector<NamedPath>& outputs,
            const ProcessPlace& place) {
    use_threads(place.threads);
    const at::Device device = open_device(options_.run.device, "eval.device", place.local_rank);
    if (processes_.is_first()) {
      open_output(options_.run.output, &output_);
      open_output(options_.run.samples, &samples_);
    }
    HfFolder folder(options_.model.path);
    folder.open_tensors();
    tokenizer_ = load_tokenizer(options_.model.path);
    const ModelSpec spec = folder_spec(folder);
    tasks_ = prepare_tasks(tasks, {options_.eval, *tokenizer_, spec});
    for (const auto& task : tasks_) {
      for (const std::filesystem::path& file : task->files()) {
        check_outputs(options_.model.path, {{"--tasks", file}}, outputs);
      }
    }
    model_.emplace(std::move(folder), float_type(options_.run.dtype, device), device);
    if (!options_.run.teacher.empty()) {
      teacher_.emplace(options_.run.teacher, float_type(options_.run.dtype, device), device);
    }
    log_info(options_.model.path.string() + ": " +
             (model_->packed() ? "packed LittleBit" : "dense") + " " + spec.model_type + ", " +
             tokenizer_->description());
    if (output_) {
      about_ = describe(options_, *model_, *tokenizer_);
      if (teacher_) {
        about_["teacher"] = options_.run.teacher.string();
        about_["teacher_hash"] = teacher_->folder().content_hash();
      }
    }
  }

  void write(const Results& results) {
    if (samples_) samples_->commit();
    if (output_) {
      about_.update(results.to_json());
      output_->write(to_json_pretty(about_));
      output_->commit();
    }
    std::fputs(results.table().c_str(), stdout);
  }

  const ScoreOptions& options_;
  Communicator& processes_;
  std::optional<OutputFile> output_, samples_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::vector<std::unique_ptr<EvalTask>> tasks_;
  std::optional<EvalModel> model_, teacher_;
  Json about_;
};

}  // namespace

std::string score_keys_help() { return keys_help<ScoreOptions>(); }

int run_score(const std::filesystem::path& config, const std::vector<std::string>& overrides) {
  const auto options = read_options<ScoreOptions>(config, overrides);
  const std::vector<NamedTask> tasks = checked_tasks(options);
  const std::vector<NamedPath> outputs = {{"--output", options.run.output},
                                          {"--samples", options.run.samples}};
  const std::vector<NamedPath> inputs = {{"--config", config}, {"--text", options.eval.text}};
  check_outputs(options.model.path, inputs, outputs);
  if (!options.run.teacher.empty()) check_outputs(options.run.teacher, inputs, outputs);
  return among_processes(
      options.run.threads, options.run.device, "eval.device",
      [&](const ProcessPlace& place) { return Scoring(options, tasks, outputs, place).run(); });
}

}  // namespace littlebit
