// Training state on disk: everything an exact resume needs, independent of how many ranks wrote it.
//
// <root>/step-N/ holds the state's tensors (every latent, scale, bias and norm under the authors'
// names, and its AdamW moments as "exp_avg/<name>", "exp_avg_sq/<name>", as they are held) in a
// file per process (state_file.h) and manifest.json (docs/formats.md). The folder appears under its
// name only when complete; one without a valid manifest does not exist for the readers here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "littlebit/checkpoint/state_file.h"
#include "littlebit/optim/optimizer.h"

namespace littlebit {

struct TrainingPosition {
  int64_t step = 0;               // optimizer steps done
  int64_t tokens = 0;             // cumulative
  std::string phase = "distill";  // the part of the schedule, and the step it began after
  int64_t phase_begin = 0;
  // The KL divergence per token over the last steps of all blocks (a running mean), in nats;
  // nothing before the first.
  std::optional<double> recent_kl;
};

// Settings that decide the numbers of a run, by option key, as text: the trainer refuses to resume
// under other ones.
using RunFingerprint = std::map<std::string, std::string>;

// A setting of the fingerprint that was changed on purpose where the run went on.
struct FingerprintChange {
  int64_t step = 0;  // after which the new value holds
  std::string key, was, is;
};

struct Checkpoint {
  std::filesystem::path folder;
  TrainingPosition position;
  RunFingerprint fingerprint;  // the settings of its last step
  std::vector<FingerprintChange> changes;
};

// The complete checkpoints under `root`, newest first. Not an error where there is none.
std::vector<Checkpoint> list_checkpoints(const std::filesystem::path& root);

// One checkpoint folder's manifest. InputError where it is none or damaged.
Checkpoint read_checkpoint(const std::filesystem::path& folder);

// The tensors of a checkpoint. InputError where its list or a file of it is damaged.
StateReader open_state(const Checkpoint& checkpoint);

// Latents, vectors, moments and sign bits into `optimizer` and its student. Each tensor's hash is
// verified. InputError naming the tensor: damaged, missing, of another shape.
void load_checkpoint(const Checkpoint& checkpoint, Optimizer& optimizer);

// Whether the folder step-N with a manifest is there; whether any folder step-* is, damaged ones
// too.
bool has_checkpoint(const std::filesystem::path& root, int64_t step);
bool has_any_checkpoint(const std::filesystem::path& root);

// Whether the folder is a checkpoint that this program wrote, whole or damaged: what is in it says
// so, not its name. Only such folders, and empty ones, are ever removed or replaced.
bool is_own_checkpoint(const std::filesystem::path& folder);

// Clears away what killed runs left half written. The names step-N or step-N.partial of things that
// are not ours stay, with a warning; OutputError where one will be in the way: will_write(N).
void clean_checkpoints(const std::filesystem::path& root,
                       const std::function<bool(int64_t step)>& will_write);

// Removes what a run resumed at `step` writes anew: every checkpoint of a later step (by its
// manifest; where that is damaged, by its name step-N), the mark of a best one among them, and
// folders that were being written when a run was killed. No other process may be writing there.
void discard_checkpoints_after(const std::filesystem::path& root, int64_t step);

// The best checkpoint by a run's scores: the file <root>/best holds its folder's name. Written
// atomically; OutputError where it cannot be. Nothing where there is none or its folder is gone.
void mark_best(const std::filesystem::path& root, int64_t step);
std::optional<int64_t> best_checkpoint(const std::filesystem::path& root);

// Removes all but the `keep` newest complete checkpoints and the best one; keep = 0 keeps all.
void prune_checkpoints(const std::filesystem::path& root, int64_t keep);

}  // namespace littlebit
