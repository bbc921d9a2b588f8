// See run_start.h.
#include "run_start.h"

#include <algorithm>
#include <functional>

#include "check_output.h"
#include "littlebit/core/disk_space.h"
#include "littlebit/core/folder_lock.h"
#include "littlebit/core/strings.h"
#include "littlebit/core/write_file.h"
#include "littlebit/distributed/agreement.h"
#include "littlebit/logging/console.h"
#include "plan.h"
#include "rank_calibration.h"
#include "resume.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

std::unique_ptr<FolderLock> lock_folder(const RunFolder& folder) {
  auto lock = std::make_unique<FolderLock>(folder.root());
  if (!lock->is_effective()) {
    log_warning("the file system of " + folder.root().string() +
                " has no locks: start no second run into this folder while this one runs");
  }
  return lock;
}

// Clears away what killed starts left, and refuses what stands where this run will write.
void clean_folder(const RunFolder& folder, const Session& session, int64_t start, int64_t steps) {
  const RunOptions& options = session.options;
  const int64_t stop = options.train.stop_after;
  const int64_t last = stop > 0 ? std::min(stop, steps) : steps;
  const auto is_multiple = [](int64_t step, int64_t of) { return of > 0 && step % of == 0; };
  clean_checkpoints(folder.checkpoints(), [&](int64_t step) {
    return step > start && step <= last &&
           (step == last || is_multiple(step, options.checkpoint.every) ||
            is_multiple(step, options.eval_schedule.every));
  });
  for (const std::string& format : options.export_.formats) {
    const fs::path target = folder.export_of(format);
    if (clean_unfinished(target)) continue;
    throw OutputError(
        target.string() +
            ".partial was not made by this program, and the export will be written there",
        "move it away, or give another output.dir");
  }
}

// Every run that takes a step writes a checkpoint: each latent and scale in fp32 with two moments;
// biases, norms and the scales of moments aside.
void check_space(const RunFolder& folder, const Session& session) {
  const MomentType moments = session.options.optim.moments;
  const uint64_t moment = moments == MomentType::kInt8 ? 1 : moments == MomentType::kBf16 ? 2 : 4;
  // Before hours of work, not after them: a disk without room for one checkpoint is an error at the
  // start.
  uint64_t bytes = 0;
  for (const LayerPlan& plan : session.plans) {
    const int64_t scales = plan.paths * (plan.d_in + plan.d_out + 2 * plan.rank);
    bytes += (4 + 2 * moment) * static_cast<uint64_t>(plan.latents()) +
             12 * static_cast<uint64_t>(scales);
  }
  require_space(folder.checkpoints(), bytes, "the run's first checkpoint");
}

// All processes go on from one place: else they see different folders.
void check_same_start(const std::optional<Checkpoint>& checkpoint, Communicator& processes) {
  const std::string mine =
      checkpoint ? "step " + std::to_string(checkpoint->position.step) : "no checkpoint";
  const std::vector<std::string> all = processes.gather(mine);
  for (size_t rank = 1; rank < all.size(); ++rank) {
    if (all[rank] == all[0]) continue;
    throw UsageError("process 0 would continue from " + all[0] + ", process " +
                         std::to_string(rank) + " from " + all[rank],
                     "output.dir must be a folder that all hosts share");
  }
}

// The first process reads the teacher's files for their hash, the others hear of it. Collective.
void share_teacher_hash(HfFolder& folder, Communicator& processes) {
  std::string hash;
  in_all(processes, [&] {
    if (processes.is_first() && folder.has_tensor_files()) hash = folder.content_hash();
  });
  hash = processes.gather(hash)[0];
  if (!hash.empty()) folder.set_content_hash(hash);
}

}  // namespace

Session open_session(const RunOptions& options, const OptionTree& tree,
                     const std::optional<Checkpoint>& checkpoint, const RunRequest& request,
                     Communicator& processes) {
  std::optional<Session> session;
  in_all(processes, [&] {
    session.emplace(open_model(options, request));
    session->processes = &processes;
    session->local_world = request.local_world;
    open_texts(*session);
    if (!checkpoint) make_plans(*session, tree);
  });
  // What was saved is of one teacher. Of a new run the hash is asked for when all else is known to
  // be right.
  if (processes.any(checkpoint.has_value())) {
    share_teacher_hash(*session->teacher_folder, processes);
  }
  in_all(processes, [&] {
    if (checkpoint) plans_from_checkpoint(*session, tree, *checkpoint, request);
    choose_by_memory(*session);
  });
  return std::move(*session);
}

RunStart take_folder(const RunFolder& folder, const RunOptions& options, const OptionTree& tree,
                     const RunRequest& request, Communicator& processes) {
  std::unique_ptr<FolderLock> lock;
  const auto in_first = [&](const std::function<void()>& action) {
    in_all(processes, [&] {
      if (processes.is_first()) action();
    });
  };
  in_first([&] {
    check_output(folder, options, request);
    std::error_code unknown;
    // A folder that is there is locked before anything is read from it. One that is not there is
    // made only when all checks of the options have passed, so that a mistake leaves no empty
    // folder behind.
    if (!fs::is_directory(folder.root(), unknown)) return;
    lock = lock_folder(folder);
    check_output(folder, options, request);  // as it is now
  });
  while (true) {
    std::optional<Checkpoint> checkpoint;
    in_all(processes, [&] { checkpoint = find_checkpoint(folder, request); });
    Session session = open_session(options, tree, checkpoint, request, processes);
    check_same_start(checkpoint, processes);
    // Made only now, the folder may have been made by another run in between; then all begins again
    // with what that one left.
    bool is_ready = processes.any(lock != nullptr);
    if (!is_ready) {
      in_first([&] {
        create_lasting_folders(folder.root());
        lock = lock_folder(folder);
        check_output(folder, options, request);
      });
      is_ready = !processes.any(processes.is_first() && folder.holds_a_run());
    }
    if (is_ready) return {std::move(lock), std::move(checkpoint), std::move(session)};
    // A run began and ended there in the meantime: it is gone on with.
  }
}

Prepared prepare_run(const RunFolder& folder, Session session,
                     const std::optional<Checkpoint>& checkpoint) {
  Communicator& processes = *session.processes;
  processes.enter("the start", kLongSeconds);
  in_all(processes, [&] {
    if (processes.is_first()) folder.open_log();
    session.teacher_folder->open_tensors();  // missing files are found before hours of tokenising
  });
  const BlockwiseOptions& blockwise = session.options.blockwise;
  const bool is_on_disk = blockwise.sequences > 0 && blockwise.storage == BlockwiseStorage::kDisk;
  // The first tokenises what is not in the cache yet.
  std::optional<Corpus> corpus;
  int64_t steps = 0;
  first_then_others(processes, [&] {
    corpus.emplace(build_corpus(session, folder.cache()));
    steps = steps_of(session, *corpus);
  });
  share_teacher_hash(*session.teacher_folder, processes);
  Communicator* divided_among = place_teacher(session);
  std::optional<Decoder> teacher;
  in_all(processes, [&] {
    if (processes.is_first()) {
      const int64_t step = checkpoint ? checkpoint->position.step : 0;
      if (step < steps) check_space(folder, session);
      clean_folder(folder, session, step, steps);
    }
    teacher.emplace(load_teacher(session, divided_among));
  });
  log_info("teacher: " + session.spec.model_type + ", " + std::to_string(session.spec.num_layers) +
           " blocks, " + format_bytes(session.teacher_folder->tensor_bytes()) +
           "; training text: " + format_count(corpus->num_tokens()) + " tokens, " +
           format_count(corpus->num_blocks()) + " blocks of " +
           std::to_string(corpus->sequence_length()));
  if (!checkpoint && measures_ranks(session)) {
    session.plans = plans_by_loss(session, *teacher, *corpus);
  }
  return {.session = std::move(session),
          .corpus = std::move(*corpus),
          .steps = steps,
          .teacher = std::move(*teacher),
          .scratch = is_on_disk ? folder.root() : fs::path()};
}

}  // namespace littlebit
