// Two sections of options, one of every kind, for the tests of the option tree.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "littlebit/config/option_group.h"
#include "littlebit/config/option_tree.h"

namespace littlebit {

enum class Schedule { kCosine, kConstant, kLinear, kSqrt };
enum class SourceKind { kText, kJsonl };

struct SampleSource {
  std::filesystem::path path;
  SourceKind format = SourceKind::kText;
  double weight = 1;
  void declare(OptionGroup& group) {
    group.path("path", &path, "The file.");
    group.choice("format", &format, {"text", "jsonl"}, "What the file holds.");
    group.number("weight", &weight, {.min = 0, .min_open = true}, "Passes over the file.");
  }
};

struct SampleOptim {
  double learning_rate = 4e-5;
  int64_t steps = 0;  // 0, outside the range: not given
  Schedule schedule = Schedule::kCosine;
  void declare(OptionGroup& group) {
    group.number(
        "learning_rate", &learning_rate, {.min = 0, .max = 10, .min_open = true},
        "Peak learning rate. A long help text has to be wrapped somewhere, and this is one "
        "that needs more than one line of a hundred columns.");
    group.integer("steps", &steps, {.min = 1, .max = 1000000}, "Steps | passes.",
                  {Decides::kRun, Decides::kStart});
    group.choice("schedule", &schedule, {"cosine", "constant", "linear", "sqrt"},
                 "Shape of the rate.", {Decides::kRunChangeable});
  }
};

struct SampleData {
  std::vector<SampleSource> train;
  bool shuffle = true;
  std::filesystem::path cache_dir;
  std::vector<std::string> tasks;
  std::string name = "run: 1";
  int level = 0;
  std::string flavour = "mild";
  void declare(OptionGroup& group) {
    group.records("train", &train, "path", "What to read.", {Decides::kRunResolved});
    group.flag("shuffle", &shuffle, "Whether to shuffle.");
    group.path("cache_dir", &cache_dir, "Where to cache.");
    group.texts("tasks", &tasks, "Names.");
    group.text("name", &name, "A name.");
    group.choice("level", &level, {"low", "high"}, "A level.");
    group.choice("flavour", &flavour, {"plain", "mild", "hot"}, "A flavour.");
  }
};

struct Sample {
  SampleOptim optim;
  SampleData data;
  OptionTree tree;
  Sample() {
    tree.add("optim", "Optimizer and learning-rate schedule.", optim);
    tree.add("data", "What is read.", data);
  }
};

}  // namespace littlebit
