// A run from its checks to its summary. What can be refused is looked at before the folder is
// touched, and one that is resumed goes on as if it had never been stopped.
#include "littlebit/train/run.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "check.h"
#include "export_model.h"
#include "factor_cache.h"
#include "littlebit/core/place.h"
#include "littlebit/core/stopwatch.h"
#include "littlebit/core/strings.h"
#include "littlebit/eval/environment.h"
#include "littlebit/logging/console.h"
#include "littlebit/logging/event_file.h"
#include "littlebit/logging/metrics.h"
#include "littlebit/train/report.h"
#include "loop.h"
#include "plan.h"
#include "resume.h"
#include "run_folder.h"
#include "scoring.h"
#include "session.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

// Exports as asked, reads the packed one back and compares; adds to run.json's summary.
std::vector<fs::path> export_model(Session& session, const RunFolder& folder, Json& run) {
  std::vector<fs::path> written;
  for (const std::string& format : session.options.export_.formats) {
    create_lasting_folders(folder.exports());
    if (format == "dense") {
      write_dense(folder.dense_export(), *session.student, session.options.export_,
                  *session.teacher_folder);
      written.push_back(folder.dense_export());
      continue;
    }
    run["summary"]["bytes"] =
        export_json(write_packed(folder.packed_export(), *session.student, session.plans,
                                 session.options.quant, *session.teacher_folder));
    written.push_back(folder.packed_export());
  }
  return written;
}

// A line per model that was scored at the start or the end, a column per metric.
void print_scores(const Json& run) {
  const Json& summary = run.at("summary");
  std::vector<std::string> metrics, header = {""};
  for (const auto& [key, value] : summary.items()) {
    const std::string prefix = "teacher_";
    if (key.starts_with(prefix)) metrics.push_back(key.substr(prefix.size()));
  }
  if (metrics.empty()) return;
  header.insert(header.end(), metrics.begin(), metrics.end());
  Table table(header);
  for (const auto& [key, label] :
       {std::pair{"teacher_", "teacher"}, std::pair{"initial_", "student before training"},
        std::pair{"final_", "student after training"}}) {
    std::vector<std::string> row = {label};
    for (const std::string& metric : metrics) {
      const Json value = summary.value(key + metric, Json());
      row.push_back(value.is_number() ? format_digits(value.get<double>(), 4) : "-");
    }
    table.add(std::move(row));
  }
  table.print();
}

// Everything of the run that is on disk: `exports` that were just made, the files of its folder,
// and what it keeps elsewhere for other runs.
void print_written(const Session& session, const RunFolder& folder,
                   std::vector<fs::path> exports = {}) {
  log_info("written:");
  for (const fs::path& path : folder.written()) exports.push_back(path);
  const std::vector<SourceOptions>& sources = session.options.data.train;
  const bool tokenised = std::any_of(sources.begin(), sources.end(), [](const SourceOptions& s) {
    return s.format != SourceFormat::kTokens;
  });
  const fs::path& cache = session.options.data.cache_dir;
  if (tokenised && !cache.empty()) exports.push_back(cache);
  if (!session.kept_factors.empty()) exports.push_back(session.kept_factors);
  for (const fs::path& path : exports) log_info("  " + path.string());
}

// TensorBoard's events up to the restored step stay, but for the scores that a finished run takes
// again.
std::optional<EventFile> open_events(const Session& session, const RunFolder& folder,
                                     const RunRequest& request, int64_t start) {
  const bool scored_again = start >= session.steps;
  // A first start leaves what it finds; where a run starts afresh, its events are those of the
  // start before.
  if (request.resume != Resume::kNever) {
    EventFile::keep(folder.tensorboard(), [&](const std::string& tag, int64_t step) {
      const bool score = tag.starts_with("eval/") || tag.starts_with("teacher/");
      return start > 0 && (score && scored_again ? step < start : step <= start);
    });
  }
  if (!session.options.log.tensorboard) return std::nullopt;
  return std::make_optional<EventFile>(folder.tensorboard(), start);
}

// Scores from place *seen on.
void show_new_scores(EventFile& events, const Json& scores, size_t* seen) {
  for (; *seen < scores.size(); ++*seen) {
    const Json& score = scores[*seen];
    if (!score.is_object()) continue;
    const std::string prefix = score.value("model", "") == "teacher" ? "teacher/" : "eval/";
    std::vector<std::pair<std::string, double>> values;
    for (const auto& [key, value] : score.items()) {
      if (is_metric(key) && value.is_number()) {
        values.emplace_back(prefix + score.value("task", "") + "/" + key, value);
      }
    }
    if (!values.empty()) events.scalars(score_step(score), values);
  }
}

Session prepare(const RunOptions& options, const OptionTree& tree,
                const std::optional<Checkpoint>& checkpoint, const RunRequest& request) {
  Session session = open_model(options);
  open_texts(session);
  if (checkpoint) {
    plans_from_checkpoint(session, tree, *checkpoint, request);
  } else {
    make_plans(session, tree);
  }
  return session;
}

// A run whose folder is its own: nobody else reads or writes there from here on.
struct Beginning {
  std::unique_ptr<FolderLock> lock;
  std::optional<Checkpoint> checkpoint;  // to go on from
  std::optional<Session> session;
};

// Locks the folder before it looks for a checkpoint: one that was chosen before could be behind
// those that another process writes meanwhile. A folder that is not there yet is made only when
// everything that can be checked was found good.
Beginning begin(const RunFolder& folder, const RunOptions& options, const OptionTree& tree,
                const RunRequest& request) {
  Beginning begun;
  const auto take_folder = [&] {
    begun.lock = std::make_unique<FolderLock>(folder.root());
    if (begun.lock->is_effective()) return;
    log_warning("the file system of " + folder.root().string() +
                " has no locks: start no second run into this folder while this one runs");
  };
  check_output(folder, options, request);
  std::error_code unknown;
  if (fs::is_directory(folder.root(), unknown)) {
    take_folder();
    check_output(folder, options, request);  // as it is now
  }
  while (true) {
    begun.checkpoint = find_checkpoint(folder, request);
    begun.session.emplace(prepare(options, tree, begun.checkpoint, request));
    if (begun.lock) return begun;
    create_lasting_folders(folder.root());
    take_folder();
    check_output(folder, options, request);
    if (!folder.holds_a_run()) return begun;
    // A run began and ended there in the meantime: it is gone on with.
  }
}

// Clears away what killed starts left, and refuses what stands where this run will write.
void clean_folder(const RunFolder& folder, const Session& session, int64_t start) {
  const RunOptions& options = session.options;
  const int64_t stop = options.train.stop_after;
  const int64_t last = stop > 0 ? std::min(stop, session.steps) : session.steps;
  const auto is_multiple = [](int64_t step, int64_t of) { return of > 0 && step % of == 0; };
  clean_checkpoints(folder.checkpoints(), [&](int64_t step) {
    return step > start && step <= last &&
           (step == last || is_multiple(step, options.checkpoint.every) ||
            is_multiple(step, options.eval_schedule.every));
  });
  for (const std::string& format : options.export_.formats) {
    const fs::path target = format == "dense" ? folder.dense_export() : folder.packed_export();
    if (clean_unfinished(target)) continue;
    throw OutputError(target.string() +
                          ".partial is not of this program, and the export will be "
                          "written there",
                      "move it away, or give another output.dir");
  }
}

Json changes_json(const std::vector<TrajectoryChange>& changes) {
  Json list = Json::array();
  for (const TrajectoryChange& change : changes) {
    list.push_back(
        {{"step", change.step}, {"key", change.key}, {"was", change.was}, {"is", change.is}});
  }
  return list;
}

}  // namespace

void factorize_only(const RunOptions& options, const OptionTree& tree) {
  if (options.quant.cache_dir.empty() || options.quant.init == QuantInit::kFile) {
    throw UsageError(
        "--factorize-only makes start factors for quant.cache_dir, which is not set (or quant.init "
        "is file)",
        "give quant.cache_dir=FOLDER and quant.init=dual_svid or joint_itq");
  }
  Session session = prepare(options, tree, std::nullopt, {});
  load_teacher(session);
  start_student(session, "");
  print_plan(session);
  if (const fs::path file = factor_cache_file(session, options.quant.cache_dir);
      !path_exists(file)) {
    throw OutputError("the start factors could not be kept in " + file.string());
  }
}

ExitCode run_training(const RunOptions& options, const OptionTree& tree,
                      const RunRequest& request) {
  const Stopwatch stopwatch;
  const RunFolder folder(options.output.dir);
  Beginning begun = begin(folder, options, tree, request);
  Session& session = *begun.session;
  const std::optional<Checkpoint>& checkpoint = begun.checkpoint;
  folder.open_log();
  session.teacher_folder->open_tensors();  // missing files are found before hours of tokenising
  build_corpus(session, folder.cache());
  clean_folder(folder, session, checkpoint ? checkpoint->position.step : 0);
  load_teacher(session);
  log_info("teacher: " + session.spec.model_type + ", " + std::to_string(session.spec.num_layers) +
           " blocks, " + format_bytes(session.teacher_folder->tensor_bytes()) +
           "; training text: " + format_count(session.corpus->num_tokens()) + " tokens, " +
           format_count(session.corpus->num_blocks()) + " blocks of " +
           std::to_string(session.corpus->sequence_length()));

  Json run = folder.read_run_json();
  TrainingPosition start;
  size_t restored = 0;  // scores of the run's past
  if (checkpoint) {
    start = resume_from(session, folder, request, *checkpoint);
    begun.lock->claim();
    folder.write_config(tree);
    MetricsFile::truncate_after(folder.metrics(), start.step);
    discard_checkpoints_after(folder.checkpoints(), start.step);
    Json scores = Json::array();  // those of the restored past
    for (const Json& score : run.value("scores", Json::array())) {
      const int64_t step = score_step(score);
      // The last step's score is taken again below.
      if (step < start.step || (step == start.step && step < session.steps))
        scores.push_back(score);
    }
    run["scores"] = std::move(scores);
    restored = run["scores"].size();
    // A stop between the checkpoint and its score left that out.
    const int64_t every = options.eval_schedule.every;
    if (every > 0 && start.step % every == 0 && start.step > 0 && start.step < session.steps &&
        !is_scored(start.step, run)) {
      score_model(session, session.student->decoder(), "student", start.step, run);
    }
    if (const auto best = find_best(folder.checkpoints(), std::nullopt, run)) {
      mark_best(folder.checkpoints(), *best);
    }
  } else {
    begun.lock->claim();
    folder.write_config(tree);
    MetricsFile::truncate_after(folder.metrics(),
                                0);  // of a run that died before its first checkpoint
    run = {{"scores", Json::array()}, {"summary", Json::object()}};
    if (!session.tasks.empty()) {
      score_model(session, *session.teacher, "teacher", 0, run);
      summarize_scores("teacher", "teacher", 0, run);
    }
    start_student(session, folder.cache());
    folder.write_factorization(session.layers);
    print_plan(session);
    if (!session.tasks.empty()) {
      score_model(session, session.student->decoder(), "student", 0, run);
      summarize_scores("initial", "student", 0, run);
    }
  }
  if (!run.contains("summary")) run["summary"] = Json::object();
  run["environment"] = environment_json(session.device, at::get_num_threads(),
                                        session.dtype == at::kFloat ? "fp32" : "bf16");
  run["model"] = {{"path", options.model.path.string()},
                  {"hash", session.teacher_folder->content_hash()},
                  {"model_type", session.spec.model_type}};
  run["data"] = {{"hash", session.corpus->content_hash()},
                 {"tokens", session.corpus->num_tokens()},
                 {"blocks", session.corpus->num_blocks()},
                 {"sequence_length", session.corpus->sequence_length()}};
  run["steps"] = session.steps;
  run.erase("changes");
  if (!session.changes.empty()) run["changes"] = changes_json(session.changes);
  folder.write_run_json(run);

  std::optional<EventFile> events = open_events(session, folder, request, start.step);
  size_t seen = restored;  // scores that are in the events
  const auto show_scores = [&] {
    if (events) show_new_scores(*events, run["scores"], &seen);
  };
  show_scores();
  const auto score = [&](int64_t step) {
    score_model(session, session.student->decoder(), "student", step, run);
    const bool best = find_best(folder.checkpoints(), step, run) == step;
    show_scores();
    folder.write_run_json(run);
    return best;
  };
  const LoopResult result = run_loop(session, folder, start, score, events ? &*events : nullptr);
  const auto add_seconds = [&] {
    const double seconds = stopwatch.seconds();
    run["seconds"] = run.value("seconds", 0.0) + seconds;
    return seconds;
  };
  run["step"] = result.position.step;
  run["tokens"] = result.position.tokens;
  if (!result.finished) {
    add_seconds();
    folder.write_run_json(run);
    write_report(folder.root());
    print_written(session, folder);
    const std::string state = "state of step " + std::to_string(result.position.step) +
                              " saved in " + folder.checkpoints().string() +
                              "; go on with --resume auto";
    if (result.stopped_by_signal) {
      log_warning("told to stop: " + state);
      return ExitCode::kStopped;
    }
    log_info("train.stop_after: " + state);
    return ExitCode::kDone;
  }

  if (!session.tasks.empty()) {
    const int64_t step = result.position.step;
    score_model(session, session.student->decoder(), "student", step, run);
    summarize_scores("final", "student", step, run);
    if (find_best(folder.checkpoints(), step, run) == step) {
      mark_best(folder.checkpoints(), step);
      prune_checkpoints(folder.checkpoints(), options.checkpoint.keep);
    }
    show_scores();
  }
  const std::vector<fs::path> exports = export_model(session, folder, run);
  const double seconds = add_seconds();
  folder.write_run_json(run);
  write_report(folder.root());
  print_scores(run);
  print_written(session, folder, exports);
  log_info("done in " + format_duration(seconds));
  return ExitCode::kDone;
}

}  // namespace littlebit
