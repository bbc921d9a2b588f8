// The start of a run: its folder taken, the checkpoint to go on from chosen, the session prepared.
// What can be refused is refused before the folder is touched.
#pragma once

#include <memory>
#include <optional>

#include "littlebit/checkpoint/checkpoint.h"
#include "littlebit/core/folder_lock.h"
#include "littlebit/train/run.h"
#include "run_folder.h"
#include "session.h"

namespace littlebit {

// Model, texts and plans; the plans are the checkpoint's where there is one. Collective.
Session open_session(const RunOptions& options, const OptionTree& tree,
                     const std::optional<Checkpoint>& checkpoint, const RunRequest& request,
                     Communicator& processes);

// A run whose folder is its own: nobody else reads or writes there from here on.
struct RunStart {
  std::unique_ptr<FolderLock> lock;      // the first process's; null in the others
  std::optional<Checkpoint> checkpoint;  // to go on from
  Session session;
};

// Locks the folder before it looks for a checkpoint: one that was chosen before could be behind
// those that another process writes meanwhile. A folder that is not there yet is made only when
// everything that can be checked was found good.
RunStart take_folder(const RunFolder& folder, const RunOptions& options, const OptionTree& tree,
                     const RunRequest& request, Communicator& processes);

// What takes long: the corpus is built, leftovers of killed starts are cleared away, the teacher is
// loaded. The log begins here. OutputError where something that is not of this program stands where
// the run will write. `checkpoint`: as take_folder found it.
Prepared prepare_run(const RunFolder& folder, Session session,
                     const std::optional<Checkpoint>& checkpoint);

}  // namespace littlebit
