// One training run from its options to its finished folder (docs/architecture.md, "The way of the
// data").
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
  // Settings of the trajectory that may differ from the checkpoint's, by option key: the run goes
  // on under the new ones, which is recorded. Of optim and distill only (check_changing).
  std::vector<std::string> changing;
  int64_t threads = 0;      // to compute with where train.threads is 0; 0: every core
  int64_t local_rank = 0;   // of this process on its host: picks the GPU
  int64_t local_world = 1;  // processes of the run on this host
};

// UsageError where one of request.changing may not be changed in a run, or nothing is resumed.
void check_changing(const RunRequest& request);

// Everything a run would check, and its plan (layers, ranks, bits, bytes, memory, steps) printed;
// writes nothing. Where the model's folder holds no tensor files (config.json alone is enough), the
// weights, and tokenizer and texts that are not there, are named as not checked: no error.
void check_run(const RunOptions& options, const OptionTree& tree, const RunRequest& request);

// Which processes a run is estimated for, and with what. None of it needs to be here.
struct EstimateRequest {
  int64_t processes = 1;
  int64_t processes_per_host = 0;  // 0: as many, up to 8, as divide them
  double device_memory = 0;        // bytes; 0: fit is not asked
  double bandwidth = 0;            // bytes a second that one process sends; 0: time is not asked
};

// Prints what a process of a run would hold in memory, part by part, and what it would send in a
// step; or gives it as JSON. Needs config.json only. train.device=cuda: no GPU is opened.
void estimate_memory(const RunOptions& options, const OptionTree& tree,
                     const EstimateRequest& request = {});
std::string estimate_memory_json(const RunOptions& options, const OptionTree& tree,
                                 const EstimateRequest& request);

// Makes the start factors and keeps them in quant.cache_dir, which must be set; nothing else is
// written. `processes` as for run_training.
void factorize_only(const RunOptions& options, const OptionTree& tree,
                    const RunRequest& request = {}, Communicator& processes = solo());

// The config.yaml of the run that a checkpoint (or run) folder belongs to; "" where there is none.
std::filesystem::path config_of_run(const std::filesystem::path& source);

// Exports without training. `source`: a training checkpoint, or a run's folder (its newest one),
// into the formats of export.formats, with the weights of model.path beside them; or a packed
// folder, into dense weights. One format is `output` itself, several are folders in it. Replaces
// earlier exports, nothing else (UsageError).
void export_checkpoint(const RunOptions& options, const OptionTree& tree,
                       const std::filesystem::path& source, const std::filesystem::path& output);

// The run. Returns kDone, or kStopped where a signal stopped it with its state saved. Throws Error
// otherwise; then checkpoints already written stay. `tree` holds the options with their origins,
// for the run's config.yaml.
// `processes`: of the run, all of which call this with the same arguments and see the same files;
// the first writes.
ExitCode run_training(const RunOptions& options, const OptionTree& tree, const RunRequest& request,
                      Communicator& processes = solo());

}  // namespace littlebit
