// A run's past is what its folder said at the restored position; nothing later survives rewind().
#include "run_record.h"

#include <algorithm>

#include "littlebit/config/option_tree.h"
#include "littlebit/core/bus_error.h"
#include "littlebit/core/error.h"
#include "littlebit/distributed/agreement.h"
#include "littlebit/logging/console.h"
#include "littlebit/quant/initialize.h"
#include "littlebit/report/report.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

void note_last_checkpoint(const fs::path& folder) {
  set_bus_error_note("the last checkpoint is " + folder.string() +
                     ": --resume auto continues from it");
}

}  // namespace

RunRecord::RunRecord(RunFolder folder, const Settings& settings)
    : folder_(std::move(folder)), settings_(settings) {
  run_ = settings_.writes ? folder_.read_run_json() : Json::object();
  for (const Json& entry : run_.value("scores", Json::array())) {
    scores_.push_back(read_score(entry));
  }
  run_.erase("scores");
  if (!run_.contains("summary")) run_["summary"] = Json::object();
  shown_ = scores_.size();
}

void RunRecord::rewind(const std::optional<TrainingPosition>& position) {
  const int64_t step = position ? position->step : 0;
  // A finished run scores its last step again when it is resumed.
  const bool scores_again = step >= settings_.steps;
  const auto stays = [&](int64_t of, bool is_score) {
    return position && (is_score && scores_again ? of < step : of <= step);
  };

  if (settings_.writes) {
    // What came after the checkpoint will come again, with the same step numbers.
    MetricsFile::truncate_after(folder_.metrics(), step);
    discard_checkpoints_after(folder_.checkpoints(), step);
    EventFile::keep(folder_.tensorboard(), [&](const std::string& tag, int64_t of) {
      return stays(of, is_score_tag(tag));
    });
  }
  if (!position) run_ = {{"summary", Json::object()}};
  std::erase_if(scores_, [&](const Score& score) { return !stays(score.step, true); });
  shown_ = scores_.size();
  settle_best();
  start_ = step;
  // A checkpoint of another folder is not this run's.
  saved_step_.reset();
  if (position && has_checkpoint(folder_.checkpoints(), step)) saved_step_ = step;
}

void RunRecord::open() {
  write();
  if (!settings_.writes) return;
  if (settings_.tensorboard) events_.emplace(folder_.tensorboard(), start_);
  show_new_scores();
  metrics_.emplace(folder_.metrics());
  if (const auto found = list_checkpoints(folder_.checkpoints()); !found.empty()) {
    note_last_checkpoint(found.front().folder);
  }
}

void RunRecord::append(const StepRecord& step) {
  if (metrics_) metrics_->append(metrics_line(step));
  if (events_) events_->scalars(step.step, scalars_of(step));
}

void RunRecord::append(Score score) {
  scores_.push_back(std::move(score));
  show_new_scores();
}

void RunRecord::show_new_scores() {
  if (!events_) return;
  for (; shown_ < scores_.size(); ++shown_) {
    const auto scalars = scalars_of(scores_[shown_]);
    if (!scalars.empty()) events_->scalars(scores_[shown_].step, scalars);
  }
}

bool RunRecord::is_scored(int64_t step) const {
  return std::any_of(scores_.begin(), scores_.end(), [&](const Score& score) {
    return score.model == kStudentModel && score.step == step;
  });
}

void RunRecord::summarize(const std::string& when, const std::string& model, int64_t step) {
  Json found = Json::object();
  for (const Score& score : scores_) {
    if (score.model != model || score.step != step) continue;
    const std::string key = when + "_" + score.metric;
    if (!found.contains(key)) found[key] = score.value;
  }
  run_["summary"].update(found);
}

// A step is the best only while its checkpoint is there, or about to be saved.
const Score* RunRecord::find_best(std::optional<int64_t> to_be_saved) {
  const Score* best = best_score(scores_, [&](int64_t step) {
    return step == to_be_saved || has_checkpoint(folder_.checkpoints(), step);
  });
  run_.erase("best");
  if (best != nullptr) {
    run_["best"] = {{"step", best->step},
                    {"task", best->task},
                    {"metric", best->metric},
                    {"value", best->value}};
  }
  return best;
}

bool RunRecord::update_best(int64_t step) {
  if (!settings_.writes) return false;
  const Score* best = find_best(step);
  return best != nullptr && best->step == step;
}

void RunRecord::settle_best() {
  if (!settings_.writes) return;
  if (const Score* best = find_best(std::nullopt)) mark_best(folder_.checkpoints(), best->step);
}

void RunRecord::keep_as_best(int64_t step) {
  if (!settings_.writes) return;
  mark_best(folder_.checkpoints(), step);
  prune();
}

void RunRecord::prune() const {
  if (settings_.writes) prune_checkpoints(folder_.checkpoints(), settings_.keep);
}

void RunRecord::save(const TrainingPosition& position, const CheckpointWriter& write) {
  // Two reasons to save may fall on one step.
  if (saved_step_ == position.step) return;
  in_all(*settings_.processes, [&] {
    // The metrics up to a checkpoint are on the disk before it: a resume finds them all.
    if (metrics_) metrics_->flush();
  });
  const fs::path saved = write(folder_.checkpoints(), position);
  saved_step_ = position.step;
  note_last_checkpoint(saved);
}

void RunRecord::save_last(const TrainingPosition& position, const CheckpointWriter& write) {
  save(position, write);
  prune();
}

bool RunRecord::save_on_the_way(const TrainingPosition& position, bool is_best,
                                const CheckpointWriter& write) {
  try {
    save(position, write);
    if (is_best) {
      keep_as_best(position.step);
    } else {
      prune();
    }
    return true;
  } catch (const OutputError& failed) {
    log_warning("step " + std::to_string(position.step) + " is not saved: " + failed.what() +
                "; the run continues without it");
    return false;
  }
}

std::optional<fs::path> RunRecord::checkpoint_before(int64_t step) const {
  for (const Checkpoint& checkpoint : list_checkpoints(folder_.checkpoints())) {
    if (checkpoint.position.step < step) return checkpoint.folder;
  }
  return std::nullopt;
}

void RunRecord::set(const std::string& key, Json value) {
  if (value.is_null()) {
    run_.erase(key);
  } else {
    run_[key] = std::move(value);
  }
}

void RunRecord::set_in_summary(const std::string& key, Json value) {
  run_["summary"][key] = std::move(value);
}

void RunRecord::add_seconds(double seconds) {
  run_["seconds"] = run_.value("seconds", 0.0) + seconds;
}

void RunRecord::write() const {
  if (!settings_.writes) return;
  Json run = run_;
  Json& scores = run["scores"] = Json::array();
  for (const Score& score : scores_) scores.push_back(score.entry);
  folder_.write_run_json(run);
}

void RunRecord::write_config(const OptionTree& tree) const {
  if (settings_.writes) folder_.write_config(tree);
}

void RunRecord::write_factorization(std::span<const LayerReport> layers) const {
  if (settings_.writes) folder_.write_factorization(layers);
}

void RunRecord::write_report() const {
  if (settings_.writes) littlebit::write_report(folder_.root());
}

}  // namespace littlebit
