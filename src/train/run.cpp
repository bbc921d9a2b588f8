// A run from its checks to its summary. One that is resumed goes on as if it had never been
// stopped.
#include "littlebit/train/run.h"

#include <ATen/Parallel.h>

#include "factor_cache.h"
#include "littlebit/core/stopwatch.h"
#include "littlebit/core/strings.h"
#include "littlebit/device/device.h"
#include "littlebit/distributed/agreement.h"
#include "littlebit/eval/environment.h"
#include "littlebit/quant/starts.h"
#include "loop.h"
#include "plan.h"
#include "resume.h"
#include "run_end.h"
#include "run_folder.h"
#include "run_record.h"
#include "run_start.h"
#include "scoring.h"
#include "session.h"
#include "sharding.h"

namespace littlebit {
namespace {

void claim(RunStart& start, const OptionTree& tree, RunRecord& record) {
  in_all(*start.session->processes, [&] {
    if (start.lock) start.lock->claim();
    record.write_config(tree);
  });
}

// A student with initial factors; teacher and student are scored before the first step.
TrainingPosition begin_run(const RunFolder& folder, const OptionTree& tree,
                           const RunRequest& request, RunStart& start, RunRecord& record) {
  Session& session = *start.session;
  claim(start, tree, record);
  // Of a run that died before its first checkpoint. A first start has no past, and leaves alone
  // what it finds.
  if (request.resume != Resume::kNever) {
    in_all(*session.processes, [&] { record.rewind(std::nullopt); });
  }
  if (!session.tasks.empty()) {
    if (!evaluate_model(session, *session.teacher, kTeacherModel, 0, record))
      end_stopped_score(*session.processes);
    record.summarize("teacher", kTeacherModel, 0);
  }
  start_student(session, folder.cache());
  in_all(*session.processes, [&] { record.write_factorization(session.layers); });
  if (session.processes->is_first()) {
    print_plan(session);
    warn_of_few_updates(session);
  }
  if (!session.tasks.empty()) {
    if (!score_student(session, 0, record)) end_stopped_score(*session.processes);
    record.summarize("initial", kStudentModel, 0);
  }
  return {};
}

// A refused resume changes nothing: the folder is claimed when the checkpoint was loaded.
TrainingPosition resume_run(const RunFolder& folder, const OptionTree& tree,
                            const RunRequest& request, RunStart& start, RunRecord& record) {
  Session& session = *start.session;
  const TrainingPosition position = resume_from(session, folder, request, *start.checkpoint);
  claim(start, tree, record);
  in_all(*session.processes, [&] { record.rewind(position); });
  // A stop between the checkpoint and its score left that out.
  const int64_t every = session.options.eval_schedule.every;
  if (every > 0 && position.step % every == 0 && position.step > 0 &&
      position.step < session.steps && !record.is_scored(position.step)) {
    if (!score_student(session, position.step, record)) end_stopped_score(*session.processes);
    in_all(*session.processes, [&] { record.settle_best(); });
  }
  return position;
}

Json changes_json(const std::vector<FingerprintChange>& changes) {
  Json list = Json::array();
  for (const FingerprintChange& change : changes) {
    list.push_back(
        {{"step", change.step}, {"key", change.key}, {"was", change.was}, {"is", change.is}});
  }
  return list;
}

// What the run works with, for run.json.
void describe(const Session& session, RunRecord& record) {
  record.set("environment",
             environment_json(session.device, at::get_num_threads(), name_of(session.dtype)));
  record.set("model", {{"path", session.options.model.path.string()},
                       {"hash", session.teacher_folder->content_hash()},
                       {"model_type", session.spec.model_type}});
  record.set("data", {{"hash", session.corpus->content_hash()},
                      {"tokens", session.corpus->num_tokens()},
                      {"blocks", session.corpus->num_blocks()},
                      {"sequence_length", session.corpus->sequence_length()}});
  record.set("steps", session.steps);
  record.set("stopped_by", Json());
  record.set("changes", session.changes.empty() ? Json() : changes_json(session.changes));
}

}  // namespace

void check_batch(const RunOptions& options, int64_t world) {
  const auto check = [&](const char* what, const char* key, int64_t batch) {
    if (batch % world == 0) return;
    const int64_t below = batch / world * world, above = below + world;
    throw UsageError(what + std::to_string(batch) + " sequences cannot be divided among " +
                         std::to_string(world) + " processes",
                     std::string(key) + "=" +
                         (below > 0 ? std::to_string(below) + " or " : std::string()) +
                         std::to_string(above));
  };
  check("a step of ", "train.global_batch_size", options.train.sequences_per_step());
  if (options.blockwise.sequences == 0) return;
  check("a step of block-wise training of ", "blockwise.batch_size", options.blockwise.batch_size);
}

void factorize_only(const RunOptions& options, const OptionTree& tree, const RunRequest& request,
                    Communicator& processes) {
  if (options.quant.cache_dir.empty() || options.quant.starts_from_file()) {
    throw UsageError(
        "--factorize-only computes initial factors for quant.cache_dir, which is not set (or "
        "quant.init is file)",
        "give quant.cache_dir=FOLDER and quant.init=" + join(start_names(), " or "));
  }
  Session session = open_session(options, tree, std::nullopt, request, processes);
  in_all(processes, [&] { load_teacher(session); });
  start_student(session, "");
  print_plan(session);
  in_all(processes, [&] {
    const std::filesystem::path file = factor_cache_file(session, options.quant.cache_dir);
    if (!processes.is_first() || path_exists(file)) return;
    throw OutputError("the initial factors could not be cached in " + file.string());
  });
}

ExitCode run_training(const RunOptions& asked, const OptionTree& tree, const RunRequest& request,
                      Communicator& processes) {
  const Stopwatch since_start;
  const RunOptions& options = asked;
  in_all(processes, [&] { check_batch(options, processes.world()); });
  const RunFolder folder(options.output.dir);
  RunStart start = take_folder(folder, options, tree, request, processes);
  prepare_run(folder, start);
  Session& session = *start.session;

  RunRecord record(folder, {.steps = session.steps,
                            .keep = options.checkpoint.keep,
                            .tensorboard = options.log.tensorboard,
                            .writes = processes.is_first(),
                            .processes = &processes});
  const TrainingPosition position = start.checkpoint
                                        ? resume_run(folder, tree, request, start, record)
                                        : begin_run(folder, tree, request, start, record);
  describe(session, record);
  in_all(processes, [&] { record.open(); });

  const LoopResult result = run_loop(session, record, position, since_start);
  return result.finished ? finish_run(session, folder, record, result, since_start)
                         : stop_run(session, folder, record, result, since_start);
}

}  // namespace littlebit
