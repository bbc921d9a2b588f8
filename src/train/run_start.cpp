// See run_start.h.
#include "run_start.h"

#include <algorithm>

#include "check.h"
#include "littlebit/core/file.h"
#include "littlebit/core/strings.h"
#include "littlebit/export/folder.h"
#include "littlebit/logging/console.h"
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
    const fs::path target = format == "dense" ? folder.dense_export() : folder.packed_export();
    if (clean_unfinished(target)) continue;
    throw OutputError(target.string() +
                          ".partial is not of this program, and the export will be "
                          "written there",
                      "move it away, or give another output.dir");
  }
}

}  // namespace

Session open_session(const RunOptions& options, const OptionTree& tree,
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

RunStart take_folder(const RunFolder& folder, const RunOptions& options, const OptionTree& tree,
                     const RunRequest& request) {
  RunStart start;
  check_output(folder, options, request);
  std::error_code unknown;
  if (fs::is_directory(folder.root(), unknown)) {
    start.lock = lock_folder(folder);
    check_output(folder, options, request);  // as it is now
  }
  while (true) {
    start.checkpoint = find_checkpoint(folder, request);
    start.session.emplace(open_session(options, tree, start.checkpoint, request));
    if (start.lock) return start;
    create_lasting_folders(folder.root());
    start.lock = lock_folder(folder);
    check_output(folder, options, request);
    if (!folder.holds_a_run()) return start;
    // A run began and ended there in the meantime: it is gone on with.
  }
}

void prepare_run(const RunFolder& folder, RunStart& start) {
  Session& session = *start.session;
  folder.open_log();
  session.teacher_folder->open_tensors();  // missing files are found before hours of tokenising
  build_corpus(session, folder.cache());
  clean_folder(folder, session, start.checkpoint ? start.checkpoint->position.step : 0);
  load_teacher(session);
  log_info("teacher: " + session.spec.model_type + ", " + std::to_string(session.spec.num_layers) +
           " blocks, " + format_bytes(session.teacher_folder->tensor_bytes()) +
           "; training text: " + format_count(session.corpus->num_tokens()) + " tokens, " +
           format_count(session.corpus->num_blocks()) + " blocks of " +
           std::to_string(session.corpus->sequence_length()));
}

}  // namespace littlebit
