// Scores as people and programs read them: a table, and results.json (docs/formats.md).
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "littlebit/eval/perplexity.h"
#include "littlebit/io/json.h"

namespace littlebit {

class Results {
 public:
  explicit Results(std::string model) : model_(std::move(model)) {}

  void add(const std::string& task, const PerplexityResult& result);

  // {"model": ..., "tasks": {"wikitext2": {"protocol": ..., "perplexity": ..., ...}}}
  Json to_json() const;

  // A line per task: name, protocol, perplexity, nll, tokens, time.
  std::string table() const;

 private:
  std::string model_;
  std::vector<std::pair<std::string, PerplexityResult>> tasks_;
};

// One task's entry of results.json.
Json to_json(const PerplexityResult& result);

}  // namespace littlebit
