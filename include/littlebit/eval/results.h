// Scores as people and programs read them: one result type for every task, a Markdown table, and
// results.json (docs/formats.md).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "littlebit/io/json.h"

namespace littlebit {

// What one run of one task gave. Every number carries its protocol.
struct TaskResult {
  std::string task;      // "wikitext2"
  std::string protocol;  // "concatenated_chunks@2048"
  // The first is the task's main metric. NAME_stderr is the standard error of NAME.
  std::vector<std::pair<std::string, double>> metrics;  // "perplexity", "acc", "acc_stderr", ...
  std::vector<std::pair<std::string, int64_t>> counts;  // "tokens", "chunks", "documents", ...
  double seconds = 0;
  std::string data, data_hash;  // the file that was scored; "" where there is none to name

  // The value of a metric or a count by its name; asserts that there is one.
  double metric(std::string_view name) const;
  int64_t count(std::string_view name) const;
};

// Whether less is better: of perplexities, losses and bits it is, of shares it is not.
bool lower_is_better(std::string_view metric);

// Whether a number of this name in results.json is a metric: no count, no time, no standard error.
bool is_metric(std::string_view name);

// A task's entry of results.json: protocol, metrics, counts, seconds, data and
// data_hash, each under its name.
Json to_json(const TaskResult& result);

class Results {
 public:
  explicit Results(std::string model) : model_(std::move(model)) {}

  void add(TaskResult result) { tasks_.push_back(std::move(result)); }

  // {"model": ..., "tasks": {"wikitext2": {"protocol": ..., "perplexity": ..., ...}}}
  Json to_json() const;

  // A line per metric: task, protocol, metric, value, standard error, what was scored, time.
  std::string table() const;

 private:
  std::string model_;
  std::vector<TaskResult> tasks_;
};

}  // namespace littlebit
