// What a run says about itself: how it is taken back to where the run goes on, kind by kind, the
// rules of its checkpoints, and the form that leaves the folder alone.
#include "train/run_record.h"

#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "littlebit/checkpoint/save.h"
#include "littlebit/core/error.h"
#include "littlebit/core/fault_hook.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"
#include "littlebit/core/write_file.h"
#include "support/tiny_model.h"
#include "support/tiny_training.h"
#include "temp_folder.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;
using Steps = std::vector<int64_t>;

// A state to save; what is in it does not matter here.
test::TinyTraining& state() {
  static const TempFolder folder;
  static test::TinyTraining training = [] {
    test::write_tiny_llama(folder.path());
    QuantOptions quant;
    quant.bits_per_weight = 4;
    return test::TinyTraining(folder.path(), quant);
  }();
  return training;
}

// Saves, and counts how often it is asked to.
struct Writer {
  int calls = 0;
  std::function<void()> before = [] {};

  CheckpointWriter writer() {
    return [this](const fs::path& root, const TrainingPosition& position) {
      ++calls;
      before();
      return save_checkpoint(root, *state().optimizer, position, {});
    };
  }
};

StepRecord step_record(int64_t step) {
  return {.step = step,
          .loss_kl = 2.0 / static_cast<double>(step),
          .loss_hidden = 1,
          .learning_rate = 1e-3,
          .latent_learning_rate = 2e-4,
          .grad_norm = 0.5,
          .sign_flip_fraction = 0.25,
          .tokens = 64 * step,
          .tokens_per_second = 1000,
          .seconds = 0.064};
}

Score score(int64_t step, double perplexity, const std::string& model = kStudentModel) {
  return make_score({.task = "text",
                     .protocol = "whole",
                     .metrics = {{"perplexity", perplexity}, {"nll", 1}},
                     .counts = {{"tokens", 100}}},
                    model, step);
}

// The folder of a run, and what can be read in it.
struct Place {
  TempFolder temp;
  RunFolder folder{temp / "run"};
  Place() { fs::create_directories(folder.root()); }

  RunRecord record(RunRecord::Settings settings = {.steps = 10}) const {
    return RunRecord(folder, settings);
  }
  Json run_json() const { return read_json_file(folder.run_json()); }

  Steps metrics() const {
    Steps steps;
    for (const std::string& line : split(read_file(folder.metrics()), '\n')) {
      if (!line.empty()) steps.push_back(parse_json(line, "metrics").at("step"));
    }
    return steps;
  }
  // Steps by the first tag of their event.
  std::map<std::string, Steps> events() const {
    std::map<std::string, Steps> events;
    EventFile::keep(folder.tensorboard(), [&](const std::string& tag, int64_t step) {
      events[tag].push_back(step);
      return true;
    });
    return events;
  }
  std::set<std::string> checkpoints() const {
    std::set<std::string> names;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(folder.checkpoints(), none)) {
      names.insert(entry.path().filename().string());
    }
    return names;
  }
  std::string best() const { return read_file(folder.checkpoints() / "best"); }
  Steps scored(const Json& run) const {
    Steps steps;
    for (const Json& entry : run.at("scores")) steps.push_back(entry.value("step", -1));
    return steps;
  }
  // Every file with its bytes.
  std::map<std::string, std::string> files() const {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(folder.root())) {
      if (entry.is_regular_file()) files[entry.path().string()] = read_file(entry.path());
    }
    return files;
  }
};

// Six steps of ten: scores at 0, 2, 4 and 6, of which the last is the best; checkpoints at 2, 4, 6.
void make_six_steps(const Place& place) {
  Writer saves;
  RunRecord record = place.record();
  record.append(score(0, 10, kTeacherModel));
  record.append(score(0, 100));
  record.summarize("teacher", kTeacherModel, 0);
  record.open();
  for (int64_t step = 1; step <= 6; ++step) {
    record.append(step_record(step));
    if (step % 2 != 0) continue;
    record.append(score(step, 100.0 / static_cast<double>(step)));
    const bool is_best = record.update_best(step);
    CHECK(is_best);
    record.write();
    CHECK(record.save_on_the_way({step, 64 * step}, is_best, saves.writer()));
  }
  CHECK(saves.calls == 3);
}

}  // namespace

TEST_CASE("every kind of record is taken back to the position the run goes on from") {
  const Place place;
  make_six_steps(place);
  CHECK(place.metrics() == Steps{1, 2, 3, 4, 5, 6});
  CHECK(place.best() == "step-6\n");
  // What another program put among the scores stays as it is.
  Json changed = place.run_json();
  changed["scores"].push_back({{"text", "by hand"}});
  write_file(place.folder.run_json(), to_json_pretty(changed));

  RunRecord record = place.record();
  record.rewind(TrainingPosition{4, 256});
  CHECK(place.metrics() == Steps{1, 2, 3, 4});
  CHECK(place.checkpoints() == std::set<std::string>{"best", "step-2", "step-4"});
  CHECK(place.best() == "step-4\n");
  CHECK(place.events() == std::map<std::string, Steps>{{"train/grad_norm", {1, 2, 3, 4}},
                                                       {"teacher/text/nll", {0}},
                                                       {"eval/text/nll", {0, 2, 4}}});
  CHECK(record.is_scored(4));
  CHECK_FALSE(record.is_scored(6));
  record.open();
  const Json run = place.run_json();
  CHECK(place.scored(run) == Steps{0, 0, 2, 4, -1});
  CHECK(run.at("scores").back() == Json({{"text", "by hand"}}));
  CHECK(run.at("best") ==
        Json({{"step", 4}, {"task", "text"}, {"metric", "perplexity"}, {"value", 25.0}}));
  CHECK(run.at("summary") == Json({{"teacher_perplexity", 10.0}}));

  // It grows from there, and the scores of before are not drawn twice.
  record.append(step_record(5));
  record.append(score(6, 90));
  CHECK_FALSE(record.update_best(6));
  CHECK(place.metrics() == Steps{1, 2, 3, 4, 5});
  CHECK(place.events().at("eval/text/nll") == Steps{0, 2, 4, 6});
}

TEST_CASE("the scores of the schedule's last step are taken again, the rest of it stays") {
  const Place place;
  make_six_steps(place);
  RunRecord record = place.record({.steps = 6});
  record.rewind(TrainingPosition{6, 384});
  record.open();
  CHECK(place.metrics() == Steps{1, 2, 3, 4, 5, 6});
  CHECK(place.checkpoints() == std::set<std::string>{"best", "step-2", "step-4", "step-6"});
  CHECK(place.events().at("train/grad_norm") == Steps{1, 2, 3, 4, 5, 6});
  CHECK(place.events().at("eval/text/nll") == Steps{0, 2, 4});
  CHECK(place.scored(place.run_json()) == Steps{0, 0, 2, 4});
  CHECK(place.best() == "step-4\n");
}

TEST_CASE("nothing stays of a run that died before its first checkpoint") {
  Place place;
  {
    RunRecord record = place.record();
    record.append(score(0, 100));
    record.set_in_summary("initial_perplexity", 100);
    record.add_seconds(60);
    record.open();
    record.append(step_record(1));
  }
  write_file(place.folder.metrics(), read_file(place.folder.metrics()) + "{\"step\": 2, \"lo");
  RunRecord record = place.record();
  record.rewind(std::nullopt);
  CHECK(place.metrics().empty());
  CHECK(place.events().empty());
  CHECK(place.run_json().contains("seconds"));  // until it is written
  record.open();
  CHECK(place.run_json() == Json({{"scores", Json::array()}, {"summary", Json::object()}}));
  CHECK(place.events().empty());
}

TEST_CASE("of a run that was stopped before its first step the scores stay") {
  Place place;
  Writer saves;
  {
    RunRecord record = place.record();
    record.append(score(0, 100));
    record.open();
    record.save_last({}, saves.writer());
  }
  RunRecord record = place.record();
  record.rewind(TrainingPosition{});
  record.open();
  CHECK(place.scored(place.run_json()) == Steps{0});
  CHECK(place.events().at("eval/text/nll") == Steps{0});
  CHECK(place.checkpoints() == std::set<std::string>{"step-0"});
}

TEST_CASE("a checkpoint of another folder is not this run's: the position is saved here too") {
  const TrainingPosition position{4, 256};
  SECTION("of another folder") {
    Place branch;
    Writer saves;
    RunRecord record = branch.record();
    record.rewind(position);
    record.append(score(4, 25));
    record.settle_best();  // no checkpoint of it is here
    record.open();
    CHECK_FALSE(branch.run_json().contains("best"));
    CHECK(branch.checkpoints().empty());
    record.save_last(position, saves.writer());
    CHECK(saves.calls == 1);
    CHECK(branch.checkpoints() == std::set<std::string>{"step-4"});
    record.save_last(position, saves.writer());
    CHECK(saves.calls == 1);
  }
  SECTION("of its own") {
    const Place place;
    make_six_steps(place);
    Writer saves;
    RunRecord record = place.record();
    record.rewind(position);
    record.open();
    record.save_last(position, saves.writer());
    CHECK(saves.calls == 0);
  }
}

TEST_CASE("a checkpoint on the way that cannot be written is told of; the last one must be") {
  Place place;
  Writer saves;
  RunRecord record = place.record({.steps = 10, .keep = 1});
  record.open();
  saves.before = [] { throw OutputError("the disk is full"); };
  CHECK_FALSE(record.save_on_the_way({1, 64}, true, saves.writer()));
  CHECK(place.checkpoints().empty());
  CHECK_THROWS_AS(record.save_last({1, 64}, saves.writer()), OutputError);
  saves.before = [] { throw NumericsError("NaN"); };
  CHECK_THROWS_AS(record.save_on_the_way({1, 64}, false, saves.writer()), NumericsError);
  CHECK(saves.calls == 3);
  saves.before = [] {};
  CHECK(record.save_on_the_way({1, 64}, true, saves.writer()));
  CHECK(place.checkpoints() == std::set<std::string>{"best", "step-1"});

  // Saved once, though it is found to be the best afterwards.
  CHECK(record.save_on_the_way({2, 128}, false, saves.writer()));
  CHECK(record.save_on_the_way({3, 192}, false, saves.writer()));
  CHECK(place.checkpoints() == std::set<std::string>{"best", "step-1", "step-3"});
  const int calls = saves.calls;
  CHECK(record.save_on_the_way({3, 192}, true, saves.writer()));
  CHECK(saves.calls == calls);
  CHECK(place.best() == "step-3\n");
  CHECK(place.checkpoints() == std::set<std::string>{"best", "step-3"});

  // Where numbers went bad older ones stay.
  record.save({4, 256}, saves.writer());
  CHECK(place.checkpoints() == std::set<std::string>{"best", "step-3", "step-4"});
  CHECK(record.checkpoint_before(4) == place.folder.checkpoints() / "step-3");
  CHECK(record.checkpoint_before(3) == std::nullopt);
  record.save_last({5, 320}, saves.writer());
  CHECK(place.checkpoints() == std::set<std::string>{"best", "step-3", "step-5"});
}

TEST_CASE("lines of metrics are on the disk before the checkpoint of their step is") {
  Place place;
  Writer saves;
  RunRecord record = place.record();
  record.open();
  record.append(step_record(1));
  std::vector<std::string> operations;
  set_fault_hook([&](std::string_view operation, const fs::path& path) {
    operations.push_back(std::string(operation) + " " + path.filename().string());
    return 0;
  });
  saves.before = [&] {
    CHECK(std::count(operations.begin(), operations.end(), "fsync metrics.jsonl") == 1);
  };
  record.save({1, 64}, saves.writer());
  set_fault_hook(nullptr);
  CHECK(saves.calls == 1);
}

TEST_CASE("a record that does not write takes the same calls and leaves the folder alone") {
  const Place place;
  make_six_steps(place);
  const auto before = place.files();
  RunRecord record = place.record({.steps = 10, .keep = 1, .writes = false});
  record.rewind(TrainingPosition{2, 128});
  record.append(score(2, 1));
  record.summarize("final", kStudentModel, 2);
  record.open();
  record.append(step_record(3));
  record.append(score(3, 1));
  CHECK_FALSE(record.update_best(3));
  record.settle_best();
  record.keep_as_best(2);
  record.set("steps", 10);
  record.add_seconds(1);
  record.write();
  record.write_factorization({});
  record.write_report();
  // A part of the state may be here: the writer is asked for it.
  int asked = 0;
  const CheckpointWriter part = [&](const fs::path& root, const TrainingPosition&) {
    ++asked;
    return root;
  };
  CHECK(record.save_on_the_way({3, 192}, true, part));
  record.save_last({4, 256}, part);
  CHECK(asked == 2);
  CHECK(place.files() == before);

  Place fresh;
  RunRecord first = fresh.record({.writes = false});
  first.rewind(std::nullopt);
  first.open();
  first.append(step_record(1));
  CHECK(fresh.files().empty());
}

TEST_CASE("scores are read leniently, and written as they were") {
  const Json entry = {
      {"step", 3}, {"model", "student"}, {"task", "boolq"}, {"acc", 0.5}, {"metric", "acc"}};
  const Score whole = read_score(entry);
  CHECK((whole.step == 3 && whole.model == kStudentModel && whole.task == "boolq"));
  CHECK((whole.metric == "acc" && whole.value == 0.5 && whole.entry == entry));
  const Score old = read_score({{"step", 3}, {"perplexity", 7}});  // without its metric's name
  CHECK((old.metric == "perplexity" && old.value == 7 && old.model.empty()));
  for (const Json& strange : {Json(12), Json(), Json::array({1}), Json({{"step", "three"}}),
                              Json({{"step", 1.5}, {"metric", 4}, {"perplexity", "low"}})}) {
    const Score read = read_score(strange);
    CHECK((read.step == -1 && std::isnan(read.value) && read.entry == strange));
    CHECK(scalars_of(read).empty());
  }
  const Score made = score(2, 8);
  const Score again = read_score(made.entry);
  CHECK((again.task == made.task && again.model == made.model && again.metric == made.metric));
  CHECK((again.step == made.step && again.value == made.value));
}

TEST_CASE("the best score: the student's, of the first task, finite, of a step that is kept") {
  const auto of = [](int64_t step, const std::string& task, const std::string& metric,
                     double value) {
    return Score{
        .task = task, .model = kStudentModel, .metric = metric, .step = step, .value = value};
  };
  const auto best = [](const std::vector<Score>& scores, int64_t gone = -1) {
    const Score* found = best_score(scores, [&](int64_t step) { return step != gone; });
    return found == nullptr ? -1 : found->step;
  };
  CHECK(best({}) == -1);
  CHECK(best({of(0, "text", "perplexity", 1)}) == -1);  // before training
  CHECK(best({score(1, 1, kTeacherModel)}) == -1);
  const std::vector<Score> falling = {of(1, "text", "perplexity", 9),
                                      of(2, "text", "perplexity", 4),
                                      of(3, "text", "perplexity", 4)};
  CHECK(best(falling) == 2);  // of equals the earlier
  CHECK(best(falling, 2) == 3);
  CHECK(best({of(1, "boolq", "acc", 0.5), of(1, "text", "perplexity", 1),
              of(2, "boolq", "acc", 0.75), of(3, "text", "perplexity", 0.5)}) == 2);
  CHECK(best({of(1, "text", "perplexity", NAN), of(2, "text", "perplexity", 5)}) == 2);
}

TEST_CASE(
    "a step's line has every number under its name; TensorBoard draws all but step and time") {
  const Json line = metrics_line(step_record(2));
  CHECK(line == Json({{"step", 2},
                      {"loss", 2.0},
                      {"loss_kl", 1.0},
                      {"loss_hidden", 1.0},
                      {"learning_rate", 1e-3},
                      {"latent_learning_rate", 2e-4},
                      {"grad_norm", 0.5},
                      {"sign_flip_fraction", 0.25},
                      {"tokens", 128},
                      {"tokens_per_second", 1000.0},
                      {"seconds", 0.064}}));
  std::set<std::string> tags;
  for (const auto& [tag, value] : scalars_of(step_record(2))) tags.insert(tag);
  CHECK(tags.size() == 9);
  CHECK(tags.count("train/loss") == 1);
  CHECK(tags.count("train/step") + tags.count("train/seconds") == 0);

  StepRecord parts = step_record(2);
  parts.part_seconds = {{"teacher", 0.01}, {"waiting", 0.002}};
  parts.product_share = 0.5;
  const Json with_parts = metrics_line(parts);
  CHECK(with_parts.at("seconds_by_part") == Json({{"teacher", 0.01}, {"waiting", 0.002}}));
  CHECK(with_parts.at("product_share") == 0.5);
  CHECK(scalars_of(parts).size() == scalars_of(step_record(2)).size() + 1);
}

}  // namespace littlebit
