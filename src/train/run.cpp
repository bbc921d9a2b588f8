// A run from its checks to its summary. One that is resumed goes on as if it had never been
// stopped.
//
//     take_folder       options, config.json, tokenizer, texts, ranks; the folder's lock
//     prepare_run       text to tokens, teacher, ranks by loss
//     begin_run         scores of the teacher, initial factors, scores of the student; or
//     resume_run        the checkpoint, and what was written after it taken back
//     run_loop          steps until the schedule is done or a stop is requested
//     finish_run        scores, exports, cards, report; or stop_run, which only reports
#include "littlebit/train/run.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <optional>

#include "factor_cache.h"
#include "littlebit/core/folder_lock.h"
#include "littlebit/core/place.h"
#include "littlebit/core/stopwatch.h"
#include "littlebit/core/strings.h"
#include "littlebit/device/device.h"
#include "littlebit/distributed/agreement.h"
#include "littlebit/eval/environment.h"
#include "littlebit/nn/tensor_memory.h"
#include "littlebit/quant/starts.h"
#include "loop.h"
#include "plan.h"
#include "rank_calibration.h"
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

// What a run has from its start to its end.
struct Run {
  const RunFolder& folder;
  const OptionTree& tree;
  const RunRequest& request;
  const Prepared& prepared;
  FolderLock* lock;  // the first process's; null in the others
  RunRecord& record;

  const Session& session() const { return prepared.session; }
  Communicator& processes() const { return *session().processes; }
};

void claim(const Run& run) {
  in_all(run.processes(), [&] {
    if (run.lock != nullptr) run.lock->claim();
    run.record.write_config(run.tree);
  });
}

// A student with initial factors; teacher and student are scored before the first step. The order
// is that of what can fail cheaply: the folder is claimed and the teacher scored before factors are
// computed, which may take long.
TrainedModel begin_run(const Run& run) {
  const Session& session = run.session();
  Communicator& processes = run.processes();
  RunRecord& record = run.record;
  claim(run);
  // Of a run that died before its first checkpoint. A first start has no past, and leaves alone
  // what it finds.
  if (run.request.resume != Resume::kNever) {
    in_all(processes, [&] { record.rewind(std::nullopt); });
  }
  if (!session.tasks.empty()) {
    if (!evaluate_model(session, run.prepared.teacher, kTeacherModel, 0, record)) {
      end_stopped_score(processes);
    }
    record.summarize("teacher", kTeacherModel, 0);
  }
  TrainedModel model =
      start_student(session, run.prepared.teacher, run.folder.cache(), run.prepared.scratch);
  in_all(processes, [&] { record.write_factorization(model.layers); });
  if (processes.is_first()) {
    print_plan(session, model.layers);
    warn_of_few_updates(session, run.prepared.steps);
  }
  if (!session.tasks.empty()) {
    if (!score_student(session, model, 0, record)) end_stopped_score(processes);
    record.summarize("initial", kStudentModel, 0);
  }
  return model;
}

// A refused resume changes nothing: the folder is claimed when the checkpoint was loaded.
TrainedModel resume_run(const Run& run, const Checkpoint& checkpoint) {
  RunRecord& record = run.record;
  TrainedModel model = resume_from(run.prepared, run.folder, run.request, checkpoint);
  claim(run);
  in_all(run.processes(), [&] { record.rewind(model.start); });
  // A stop between the checkpoint and its score left that out.
  const int64_t every = run.session().options.eval_schedule.every;
  const int64_t step = model.start.step;
  if (every > 0 && step % every == 0 && step > 0 && step < run.prepared.steps &&
      !record.is_scored(step)) {
    if (!score_student(run.session(), model, step, record)) end_stopped_score(run.processes());
    in_all(run.processes(), [&] { record.settle_best(); });
  }
  return model;
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
void describe(const Prepared& prepared, const std::vector<FingerprintChange>& changes,
              RunRecord& record) {
  const Session& session = prepared.session;
  const Corpus& corpus = prepared.corpus;
  record.set("environment",
             environment_json(session.device, at::get_num_threads(), name_of(session.dtype)));
  record.set("model", {{"path", session.options.model.path.string()},
                       {"hash", session.teacher_folder->content_hash()},
                       {"model_type", session.spec.model_type}});
  record.set("data", {{"hash", corpus.content_hash()},
                      {"tokens", corpus.num_tokens()},
                      {"blocks", corpus.num_blocks()},
                      {"sequence_length", corpus.sequence_length()}});
  record.set("steps", prepared.steps);
  record.set("stopped_by", Json());
  record.set("changes", changes.empty() ? Json() : changes_json(changes));
}

}  // namespace

void check_changing(const RunRequest& request) {
  if (request.changing.empty()) return;
  if (request.resume == Resume::kNever) {
    throw UsageError("--resume-with changes a run that is resumed, and none is",
                     "add --resume auto, or --resume with a checkpoint");
  }
  const std::vector<std::string> keys = changeable_keys();
  for (const std::string& key : request.changing) {
    if (std::find(keys.begin(), keys.end(), key) != keys.end()) continue;
    throw UsageError("--resume-with " + key + ": this cannot be changed in a run",
                     "these can be changed: " + join(keys, ", "));
  }
}

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
  std::optional<Corpus> corpus;
  if (measures_ranks(session)) {
    // The first process tokenises, the others find its file in the cache.
    first_then_others(processes,
                      [&] { corpus.emplace(build_corpus(session, options.quant.cache_dir)); });
  }
  std::optional<Decoder> teacher;
  in_all(processes, [&] { teacher.emplace(load_teacher(session, nullptr)); });
  if (corpus) session.plans = plans_by_loss(session, *teacher, *corpus);
  const TrainedModel model = start_student(session, *teacher, "", "");
  print_plan(session, model.layers);
  in_all(processes, [&] {
    const std::filesystem::path file = factor_cache_file(session, options.quant.cache_dir);
    if (!processes.is_first() || path_exists(file)) return;
    throw OutputError("the initial factors could not be cached in " + file.string());
  });
}

ExitCode run_training(const RunOptions& asked, const OptionTree& tree, const RunRequest& request,
                      Communicator& processes) {
  // Counts for train.time_limit, so it begins before anything is loaded.
  const Stopwatch since_start;
  const RunOptions& options = asked;
  in_all(processes, [&] { check_batch(options, processes.world()); });
  const RunFolder folder(options.output.dir);
  // The folder is locked: from here on no other run writes there.
  RunStart start = take_folder(folder, options, tree, request, processes);
  const Prepared prepared = prepare_run(folder, std::move(start.session), start.checkpoint);

  RunRecord record(folder, {.steps = prepared.steps,
                            .keep = options.checkpoint.keep,
                            .tensorboard = options.log.tensorboard,
                            .writes = processes.is_first(),
                            .processes = &processes});
  const Run run{folder, tree, request, prepared, start.lock.get(), record};
  TrainedModel model = start.checkpoint ? resume_run(run, *start.checkpoint) : begin_run(run);
  describe(prepared, model.changes, record);
  in_all(processes, [&] { record.open(); });

  const LoopResult result = run_loop(prepared, model, record, since_start);
  release_kept_tensor_memory();  // exports map what they write beside what the run holds
  return result.finished ? finish_run(prepared, model, folder, record, result, since_start)
                         : stop_run(prepared.session, model, folder, record, result, since_start);
}

}  // namespace littlebit
