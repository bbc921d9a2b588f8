// See run_start.h.
#include "run_start.h"

#include <algorithm>
#include <functional>

#include "check_output.h"
#include "littlebit/core/disk_space.h"
#include "littlebit/core/file.h"
#include "littlebit/core/strings.h"
#include "littlebit/distributed/agreement.h"
#include "littlebit/export/folder.h"
#include "littlebit/logging/console.h"
#include "plan.h"
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
void check_space(const RunFolder& folder, const Session& session, int64_t start) {
  if (start >= session.steps) return;
  const MomentType moments = session.options.optim.moments;
  const uint64_t moment = moments == MomentType::kInt8 ? 1 : moments == MomentType::kBf16 ? 2 : 4;
  uint64_t bytes = 0;
  for (const LayerPlan& plan : session.plans) {
    const int64_t scales = plan.paths * (plan.d_in + plan.d_out + 2 * plan.rank);
    bytes += (4 + 2 * moment) * static_cast<uint64_t>(plan.latents()) +
             12 * static_cast<uint64_t>(scales);
  }
  require_space(folder.checkpoints(), bytes, "the run's first checkpoint");
}

// All processes go on from one place: else they see different folders.
void check_same_start(const RunStart& start, Communicator& processes) {
  const std::string mine = start.checkpoint
                               ? "step " + std::to_string(start.checkpoint->position.step)
                               : "no checkpoint";
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
  RunStart start;
  const auto in_first = [&](const std::function<void()>& action) {
    in_all(processes, [&] {
      if (processes.is_first()) action();
    });
  };
  in_first([&] {
    check_output(folder, options, request);
    std::error_code unknown;
    if (!fs::is_directory(folder.root(), unknown)) return;
    start.lock = lock_folder(folder);
    check_output(folder, options, request);  // as it is now
  });
  while (true) {
    in_all(processes, [&] { start.checkpoint = find_checkpoint(folder, request); });
    start.session.emplace(open_session(options, tree, start.checkpoint, request, processes));
    check_same_start(start, processes);
    if (processes.any(start.lock != nullptr)) return start;
    in_first([&] {
      create_lasting_folders(folder.root());
      start.lock = lock_folder(folder);
      check_output(folder, options, request);
    });
    if (!processes.any(processes.is_first() && folder.holds_a_run())) return start;
    // A run began and ended there in the meantime: it is gone on with.
  }
}

void prepare_run(const RunFolder& folder, RunStart& start) {
  Session& session = *start.session;
  Communicator& processes = *session.processes;
  processes.enter("the start", kLongSeconds);
  in_all(processes, [&] {
    if (processes.is_first()) folder.open_log();
    session.teacher_folder->open_tensors();  // missing files are found before hours of tokenising
  });
  const BlockwiseOptions& blockwise = session.options.blockwise;
  if (blockwise.sequences > 0 && blockwise.storage == BlockwiseStorage::kDisk) {
    session.scratch = folder.root();
  }
  // The first tokenises what is not in the cache yet.
  first_then_others(processes, [&] { build_corpus(session, folder.cache()); });
  share_teacher_hash(*session.teacher_folder, processes);
  place_teacher(session);
  in_all(processes, [&] {
    if (processes.is_first()) {
      const int64_t step = start.checkpoint ? start.checkpoint->position.step : 0;
      check_space(folder, session, step);
      clean_folder(folder, session, step);
    }
    load_teacher(session);
  });
  log_info("teacher: " + session.spec.model_type + ", " + std::to_string(session.spec.num_layers) +
           " blocks, " + format_bytes(session.teacher_folder->tensor_bytes()) +
           "; training text: " + format_count(session.corpus->num_tokens()) + " tokens, " +
           format_count(session.corpus->num_blocks()) + " blocks of " +
           std::to_string(session.corpus->sequence_length()));
}

}  // namespace littlebit
