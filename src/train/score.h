// A score of a run: the result of one task on one model after one step, as run.json keeps it
// (docs/formats.md, "run.json").
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "littlebit/eval/results.h"

namespace littlebit {

inline constexpr const char* kTeacherModel = "teacher";
inline constexpr const char* kStudentModel = "student";

struct Score {
  std::string task;
  std::string model;   // kTeacherModel or kStudentModel
  std::string metric;  // the task's main one: "perplexity", "acc"
  int64_t step = -1;   // -1 where an entry that another program wrote has none
  double value = NAN;  // of `metric`
  Json entry;          // the whole of it, as it stands in run.json
};

Score make_score(const TaskResult& result, const std::string& model, int64_t step);

// An entry of run.json's list. Another program, or an older one, may have written it: what is
// missing or has another type keeps its default.
Score read_score(Json entry);

// What TensorBoard draws of it, by tag: "eval/TASK/METRIC" of the student, "teacher/TASK/METRIC".
std::vector<std::pair<std::string, double>> scalars_of(const Score& score);

// Whether a tag is one of a score's.
bool is_score_tag(const std::string& tag);

// The student's best after step 0 by the first task's main metric, among the steps for which
// is_kept(step) holds; of equals the earlier. nullptr where there is none.
const Score* best_score(std::span<const Score> scores,
                        const std::function<bool(int64_t step)>& is_kept);

}  // namespace littlebit
