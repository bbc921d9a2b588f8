// Checkpoints are looked at from the newest to the oldest; a run under other settings is refused
// with all of them named, before anything is changed.
#include "resume.h"

#include <algorithm>

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/device/device.h"
#include "littlebit/logging/console.h"
#include "littlebit/models/architectures.h"

namespace littlebit {
namespace {

constexpr const char* kHint =
    "resume with the settings of the run's config.yaml, or start a new output.dir";

// Options that checkpoints of the present format may be older than: those runs were as the default
// has it.
constexpr const char* kYounger[] = {
    "train.reduce_dtype",   "train.block_inputs",      "optim.latent_learning_rate",
    "optim.moments",        "blockwise.sequences",     "blockwise.passes",
    "blockwise.batch_size", "blockwise.learning_rate", "blockwise.latent_learning_rate",
    "quant.ranks",          "distill.hidden",          "distill.hidden_schedule"};

bool is_younger_default(const std::string& key, const std::string& value) {
  RunOptions options;
  OptionTree tree;
  options.declare(tree);
  return std::find(std::begin(kYounger), std::end(kYounger), key) != std::end(kYounger) &&
         tree.text(key) == value;
}

bool contains(const std::vector<std::string>& keys, const std::string& key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

// By content: the same model at another path is the same teacher.
void check_teacher(const RunFingerprint& saved, const Session& session) {
  const auto was = saved.find(kTeacherKey);
  if (was == saved.end() || was->second == session.teacher_folder->content_hash()) return;
  throw UsageError(
      "the checkpoint belongs to a run with other settings: " + std::string(kTeacherKey) + " was " +
          was->second + ", is " + session.teacher_folder->content_hash(),
      kHint);
}

}  // namespace

namespace {

void add_steps(RunFingerprint& fingerprint, const Session& session, int64_t steps) {
  if (steps > 0) fingerprint["train.steps"] = std::to_string(steps - session.blockwise_steps);
}

}  // namespace

// How a run learns may be changed where it goes on, not what it is. Which options these are is
// declared with each option (Decides::kRunChangeable), so that no list here can fall behind.
std::vector<std::string> changeable_keys() {
  RunOptions options;
  OptionTree tree;
  options.declare(tree);
  return tree.deciding(Decides::kRunChangeable);
}

RunFingerprint make_fingerprint(const Session& session) {
  RunOptions options = session.options;
  OptionTree tree;
  options.declare(tree);
  RunFingerprint fingerprint;
  // Options that decide nothing about the numbers, such as paths and intervals, are left out: they
  // may change freely.
  for (const Decides what : {Decides::kRun, Decides::kRunChangeable}) {
    for (const std::string& key : tree.deciding(what)) fingerprint[key] = tree.text(key);
  }
  // What options of Decides::kRunResolved came to.
  std::string ranks;
  for (const LayerPlan& plan : session.plans) {
    ranks +=
        (ranks.empty() ? "" : " ") + std::to_string(plan.rank) + "x" + std::to_string(plan.paths);
  }
  fingerprint["ranks"] = ranks;
  fingerprint["train.global_batch_size"] = std::to_string(options.train.sequences_per_step());
  fingerprint["train.dtype"] = name_of(session.dtype);
  add_steps(fingerprint, session, session.steps_by_options);
  if (session.teacher_folder->has_tensor_files()) {
    fingerprint[kTeacherKey] = session.teacher_folder->content_hash();
  }
  return fingerprint;
}

RunFingerprint make_fingerprint(const Prepared& prepared) {
  RunFingerprint fingerprint = make_fingerprint(prepared.session);
  add_steps(fingerprint, prepared.session, prepared.steps);
  fingerprint["data.train (content)"] = prepared.corpus.content_hash();
  return fingerprint;
}

// Every key of the present run is looked up in the saved one. A key that is missing there is a
// difference, unless checkpoints may be older than the option and the run has its default.
std::vector<FingerprintChange> check_fingerprint(const RunFingerprint& saved,
                                                 const RunFingerprint& present,
                                                 const RunRequest& request) {
  const std::vector<std::string> may_change = changeable_keys();
  // All differences are collected, so that one look shows them all.
  std::vector<std::string> differences, changeable;
  std::vector<FingerprintChange> changes;
  for (const auto& [key, value] : present) {
    const auto old = saved.find(key);
    if (old == saved.end()) {
      if (is_younger_default(key, value)) continue;
      differences.push_back(key + " is not in the checkpoint");
      continue;
    }
    if (old->second == value) continue;
    // Changed on purpose (--resume-with): recorded with the step, for run.json and later resumes.
    if (contains(request.changing, key)) {
      changes.push_back({.key = key, .was = old->second, .is = value});
      continue;
    }
    differences.push_back(key + " was " + old->second + ", is " + value);
    if (contains(may_change, key)) changeable.push_back("--resume-with " + key);
  }
  if (differences.empty()) return changes;
  throw UsageError(
      "the checkpoint belongs to a run with other settings: " + join(differences, "; "),
      changeable.size() < differences.size()
          ? kHint
          : kHint + std::string("; to change it on purpose from here on, add ") +
                join(changeable, " "));
}

std::optional<Checkpoint> find_checkpoint(const RunFolder& folder, const RunRequest& request) {
  if (request.resume == Resume::kFolder) return read_checkpoint(request.resume_from);
  if (request.resume == Resume::kNever) return std::nullopt;
  const std::vector<Checkpoint> found = list_checkpoints(folder.checkpoints());
  for (size_t i = 0; i < found.size(); ++i) {
    try {
      open_state(found[i]);
      return found[i];
    } catch (const InputError& damaged) {
      if (i + 1 == found.size()) throw;
      log_warning(std::string(damaged.what()) + "; trying the checkpoint before it");
    }
  }
  // Folders of checkpoints are there, but none has a readable manifest.
  if (has_any_checkpoint(folder.checkpoints())) {
    throw InputError(
        "no checkpoint in " + folder.checkpoints().string() + " can be read",
        "starting afresh would overwrite them: give another output.dir, or move them away");
  }
  return std::nullopt;
}

void plans_from_checkpoint(Session& session, const OptionTree& tree, const Checkpoint& checkpoint,
                           const RunRequest& request) {
  if (session.teacher_folder->has_tensor_files()) check_teacher(checkpoint.fingerprint, session);
  // Ranks come from the checkpoint's tensors, not from quant.bits_per_weight: with quant.ranks:
  // by_loss they were measured, and are not measured again.
  Decoder shape = empty_decoder(session.spec, session.dtype, at::Device(at::kCPU));
  session.plans = plans_of_state(open_state(checkpoint), shape);
  const bool two_paths = session.plans.at(0).paths == 2;
  QuantOptions& quant = session.options.quant;
  if (tree.is_set("quant.residual") && quant.residual != two_paths) {
    throw UsageError("quant.residual is " + std::string(two_paths ? "false" : "true") +
                         ", the checkpoint's layers have " + (two_paths ? "two paths" : "one path"),
                     kHint);
  }
  quant.residual = two_paths;
  check_exports(session);
  check_fingerprint(checkpoint.fingerprint, make_fingerprint(session), request);
}

TrainedModel resume_from(const Prepared& prepared, const RunFolder& folder,
                         const RunRequest& request, const Checkpoint& chosen) {
  // `auto` may fall back on older ones; a checkpoint that was named is taken or refused.
  std::vector<Checkpoint> candidates = {chosen};
  if (request.resume == Resume::kAuto) {
    for (Checkpoint& older : list_checkpoints(folder.checkpoints())) {
      if (older.position.step < chosen.position.step) candidates.push_back(std::move(older));
    }
  }
  const RunFingerprint present = make_fingerprint(prepared);
  for (size_t i = 0; i < candidates.size(); ++i) {
    std::vector<FingerprintChange> changes =
        check_fingerprint(candidates[i].fingerprint, present, request);
    try {
      TrainedModel model = resume_student(prepared, candidates[i]);
      const int64_t step = candidates[i].position.step;
      log_info("resumed from " + candidates[i].folder.string() + ", step " + std::to_string(step));
      model.changes = candidates[i].changes;
      for (FingerprintChange& change : changes) {
        change.step = step;
        log_info("from here on " + change.key + " is " + change.is + " (it was " + change.was +
                 ")");
        model.changes.push_back(std::move(change));
      }
      return model;
    } catch (const InputError& damaged) {
      if (i + 1 == candidates.size()) throw;
      log_warning(std::string(damaged.what()) + "; trying the checkpoint before it");
    }
  }
  throw InputError("no checkpoint could be loaded from " + folder.checkpoints().string());
}

}  // namespace littlebit
