// One training run from its options to its finished folder (docs/architecture.md, "Data flow").
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "littlebit/core/error.h"
#include "littlebit/distributed/communicator.h"
#include "littlebit/train/options.h"

namespace littlebit {

enum class Resume { kNever, kAuto, kFolder };

struct RunRequest {
  Resume resume = Resume::kNever;
  std::filesystem::path resume_from;  // kFolder: a checkpoint folder
  // Settings of the fingerprint that may differ from the checkpoint's, by option key: the run goes
  // on under the new ones, which is recorded. Of optim and distill only (check_changing).
  std::vector<std::string> changing;
  int64_t threads = 0;      // to compute with where train.threads is 0; 0: every core
  int64_t local_rank = 0;   // of this process on its host: picks the GPU
  int64_t local_world = 1;  // processes of the run on this host
};

// UsageError where one of request.changing may not be changed in a run, or nothing is resumed.
void check_changing(const RunRequest& request);

// Computes the initial factors and caches them in quant.cache_dir, which must be set; nothing else
// is written. `processes` as for run_training.
void factorize_only(const RunOptions& options, const OptionTree& tree,
                    const RunRequest& request = {}, Communicator& processes = solo());

// The run. Returns kDone, or kStopped where a signal stopped it with its state saved. Throws Error
// otherwise; then checkpoints already written stay. `tree` holds the options with their origins,
// for the run's config.yaml.
// `processes`: of the run, all of which call this with the same arguments and see the same files;
// the first writes.
ExitCode run_training(const RunOptions& options, const OptionTree& tree, const RunRequest& request,
                      Communicator& processes = solo());

}  // namespace littlebit
