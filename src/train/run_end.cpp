// See run_end.h.
#include "run_end.h"

#include <algorithm>

#include "export_model.h"
#include "littlebit/core/strings.h"
#include "littlebit/core/write_file.h"
#include "littlebit/distributed/agreement.h"
#include "littlebit/export/packed.h"
#include "littlebit/logging/console.h"
#include "littlebit/logging/table.h"
#include "model_card.h"
#include "resume.h"
#include "scoring.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

// Exports as asked, reads the packed one back and compares; its bytes go to the summary.
std::vector<fs::path> export_model(const Session& session, const Student& student,
                                   const RunFolder& folder, RunRecord& record) {
  std::vector<fs::path> written;
  const ExportOptions& options = session.options.export_;
  for (const std::string& format : options.formats) {
    create_lasting_folders(folder.exports());
    const fs::path target = folder.export_of(format);
    if (format == "dense") {
      write_dense(target, student, options, *session.teacher_folder);
    } else if (format == "dbf") {
      write_dbf(target, student, *session.teacher_folder);
    } else {
      const PackedExport packed = write_packed(
          target, student, session.plans, session.options.quant, options, *session.teacher_folder);
      record.set_in_summary("bytes", export_json(packed));
    }
    written.push_back(target);
  }
  return written;
}

// Beside each export what it is, by run.json as it is now.
void write_cards(const Prepared& prepared, const RunFolder& folder,
                 const std::vector<fs::path>& exports, int64_t step) {
  const Session& session = prepared.session;
  const Json run = folder.read_run_json();
  const ModelCard card{.origin = *session.teacher_folder,
                       .settings = make_fingerprint(prepared),
                       .options = &session.options,
                       .step = step,
                       .run = run,
                       .bytes = run.value("summary", Json::object()).value("bytes", Json())};
  for (const fs::path& path : exports) write_model_card(path, card, path.filename().string());
}

// A line per model that was scored at the start or the end, a column per metric.
void print_scores(const Json& summary) {
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
void print_written(const Session& session, const TrainedModel& model, const RunFolder& folder,
                   std::vector<fs::path> exports = {}) {
  log_info("written:");
  for (const fs::path& path : folder.written()) exports.push_back(path);
  const std::vector<SourceOptions>& sources = session.options.data.train;
  const bool tokenised = std::any_of(sources.begin(), sources.end(), [](const SourceOptions& s) {
    return s.format != SourceFormat::kTokens;
  });
  const fs::path& cache = session.options.data.cache_dir;
  if (tokenised && !cache.empty()) exports.push_back(cache);
  if (!model.kept_factors.empty()) exports.push_back(model.kept_factors);
  for (const fs::path& path : exports) log_info("  " + path.string());
}

// run.json and what is drawn from it; returns the seconds of this start.
double close_record(RunRecord& record, const Stopwatch& since_start) {
  const double seconds = since_start.seconds();
  record.add_seconds(seconds);
  record.write();
  record.write_report();
  return seconds;
}

void record_position(RunRecord& record, const TrainingPosition& position) {
  record.set("step", position.step);
  record.set("tokens", position.tokens);
}

}  // namespace

ExitCode stop_run(const Session& session, const TrainedModel& model, const RunFolder& folder,
                  RunRecord& record, const LoopResult& result, const Stopwatch& since_start) {
  record_position(record, result.position);
  const std::string& by = result.stopped_by;
  if (!by.empty()) record.set("stopped_by", by);
  const std::string state = "state of step " + std::to_string(result.position.step) + " saved in " +
                            folder.checkpoints().string() + "; continue with --resume auto";
  in_all(*session.processes, [&] {
    close_record(record, since_start);
    print_written(session, model, folder);
    if (by.empty()) {
      log_info("train.stop_after: " + state);
    } else {
      log_warning("stop requested by " + by + ": " + state);
    }
  });
  return by.empty() ? ExitCode::kDone : ExitCode::kStopped;
}

ExitCode finish_run(const Prepared& prepared, const TrainedModel& model, const RunFolder& folder,
                    RunRecord& record, const LoopResult& result, const Stopwatch& since_start) {
  const Session& session = prepared.session;
  record_position(record, result.position);
  if (!session.tasks.empty()) {
    const int64_t step = result.position.step;
    if (!score_student(session, model, step, record)) end_stopped_score(*session.processes);
    record.summarize("final", kStudentModel, step);
    in_all(*session.processes, [&] {
      if (record.update_best(step)) record.keep_as_best(step);
    });
  }
  // Every process has all bits, scales and norms: the first writes them.
  session.processes->enter("the export", kLongSeconds);
  in_all(*session.processes, [&] {
    if (!session.processes->is_first()) return;
    const std::vector<fs::path> exports = export_model(session, *model.student, folder, record);
    const double seconds = close_record(record, since_start);
    write_cards(prepared, folder, exports, result.position.step);
    print_scores(record.summary());
    print_written(session, model, folder, exports);
    log_info("done in " + format_duration(seconds));
  });
  return ExitCode::kDone;
}

}  // namespace littlebit
