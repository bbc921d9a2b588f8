// The only writer of a run's records: lines of metrics, scores, TensorBoard's events, checkpoints
// and the mark of the best one, run.json, and the small files beside them
// (docs/formats.md, "Run folder").
//
// A record is read (the constructor), taken back to where the run goes on (rewind), opened, and
// grows from there. Whoever adds a kind of record adds it to rewind().
//
// Of several processes one writes. The others hold a record that does not: it takes the same calls
// and leaves the folder alone. What the writer's calls return is a decision of the run: the others
// are told it, and take no such decision by themselves. Errors: OutputError, unless a function says
// otherwise. Not thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "littlebit/checkpoint/checkpoint.h"
#include "littlebit/distributed/communicator.h"
#include "littlebit/logging/event_file.h"
#include "littlebit/logging/metrics.h"
#include "run_folder.h"
#include "score.h"
#include "step_record.h"

namespace littlebit {

// Writes the checkpoint of a position below `root` and returns its folder, as save_checkpoint()
// does with everything else that it is given. Called in every process, for each may hold a part
// of the state; so it fails in all of them or in none.
using CheckpointWriter = std::function<std::filesystem::path(const std::filesystem::path& root,
                                                             const TrainingPosition& position)>;

class RunRecord {
 public:
  struct Settings {
    int64_t steps = 0;        // of the whole schedule
    int64_t keep = 0;         // checkpoints beside the best; 0: all
    bool tensorboard = true;  // whether there are to be events
    bool writes = true;       // false: everywhere but in the one process that writes
    Communicator* processes = &solo();
  };

  // Reads run.json where there is one; InputError where no run wrote it.
  RunRecord(RunFolder folder, const Settings& settings);

  // Takes back everything that comes after `position`, where the run goes on; without a position
  // the run starts afresh, and all goes that an earlier start left. The scores of the schedule's
  // last step go too: they are taken again at the run's end.
  void rewind(const std::optional<TrainingPosition>& position);

  // Writes run.json, and opens the files that grow line by line. From here on steps can be
  // appended; scores that were appended before are put among the events.
  void open();

  // A line of metrics, and its events.
  void append(const StepRecord& step);

  // A score, and its events. run.json has it from the next write() on.
  void append(Score score);
  bool is_scored(int64_t step) const;  // whether the student has a score of it

  // The main metrics of a model's scores at `step` become run.json's summary, as `<when>_<metric>`
  // ("final_perplexity", "final_acc"): of several tasks with one metric the first counts.
  void summarize(const std::string& when, const std::string& model, int64_t step);

  // Compares the scores of steps whose checkpoint is there (best_score()) with that of `step`,
  // which is about to be saved. The best of them becomes run.json's; true where it is `step`.
  bool update_best(int64_t step);
  // The same among the checkpoints that are there; theirs is marked.
  void settle_best();
  // Marks the checkpoint of `step` as the best, and removes those that are not to be kept.
  void keep_as_best(int64_t step);

  // Writes a checkpoint, unless this run has one of the position already (is_saved), which it does
  // not by going on from that of another folder. Lines of metrics are on the disk before it is.
  // Older checkpoints stay. NumericsError as save_checkpoint(). Collective, as all that save.
  void save(const TrainingPosition& position, const CheckpointWriter& write);
  bool is_saved(int64_t step) const { return saved_step_ == step; }
  // The same at the run's end; then removes the checkpoints that are not to be kept.
  void save_last(const TrainingPosition& position, const CheckpointWriter& write);
  // The same on the way, where a disk that is full for a while does not end the run: false, after
  // a warning, where it could not be written. `is_best`: it is marked, and kept, as the best.
  bool save_on_the_way(const TrainingPosition& position, bool is_best,
                       const CheckpointWriter& write);

  // The folder of the newest complete checkpoint of a step before `step`.
  std::optional<std::filesystem::path> checkpoint_before(int64_t step) const;

  // Keys of run.json besides scores and best. set: null takes the key away.
  void set(const std::string& key, Json value);
  void set_in_summary(const std::string& key, Json value);
  void add_seconds(double seconds);  // to those of the run's earlier starts
  const Json& summary() const { return run_.at("summary"); }

  void write() const;  // run.json
  void write_config(const OptionTree& tree) const;
  void write_factorization(std::span<const LayerReport> layers) const;
  void write_report() const;

 private:
  const Score* find_best(std::optional<int64_t> to_be_saved);
  void show_new_scores();
  void prune() const;

  RunFolder folder_;
  Settings settings_;
  Json run_;  // run.json but for its scores
  std::vector<Score> scores_;
  size_t shown_ = 0;   // of the scores, those that are among the events
  int64_t start_ = 0;  // the step that the run goes on from
  std::optional<MetricsFile> metrics_;
  std::optional<EventFile> events_;
  std::optional<int64_t> saved_step_;  // whose checkpoint is of this run and as it is now
};

}  // namespace littlebit
