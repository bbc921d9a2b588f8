// Resuming from a checkpoint: which one, the plans it brings, and whether its run had the same
// fingerprint, the settings that decide the numbers (`RunFingerprint`).
#pragma once

#include <optional>

#include "littlebit/train/run.h"
#include "run_folder.h"
#include "session.h"

namespace littlebit {

inline constexpr const char* kTeacherKey = "model.path (content)";

// The settings that decide a run's numbers, as their options spell them. What a session does not
// know is left out: the content of the training data and, where train.epochs gives them, the steps;
// without tensor files the teacher's content.
RunFingerprint make_fingerprint(const Session& session);
RunFingerprint make_fingerprint(const Prepared& prepared);

// The options whose values may be changed where a run goes on.
std::vector<std::string> changeable_keys();

// UsageError listing every setting of `present` in which `saved` differs; those that `request` is
// to change are returned instead.
std::vector<FingerprintChange> check_fingerprint(const RunFingerprint& saved,
                                                 const RunFingerprint& present,
                                                 const RunRequest& request);

// The checkpoint to go on from, if any. With --resume auto one whose state cannot be read is passed
// over for the one before it; where none can be read that is an error: starting afresh would
// overwrite them.
std::optional<Checkpoint> find_checkpoint(const RunFolder& folder, const RunRequest& request);

// Ranks and paths as the run began with them, whatever became of quant.init_file. UsageError where
// it began with another teacher, `tree` has quant.residual set otherwise, or other settings that
// the session knows by now differ.
void plans_from_checkpoint(Session& session, const OptionTree& tree, const Checkpoint& checkpoint,
                           const RunRequest& request);

// The newest checkpoint that loads: with --resume auto a damaged one is passed over for the one
// before it. It comes with what was changed in the run, now and before.
TrainedModel resume_from(const Prepared& prepared, const RunFolder& folder,
                         const RunRequest& request, const Checkpoint& chosen);

}  // namespace littlebit
