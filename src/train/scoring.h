// Scores taken during a run, on the tasks the session prepared once, and the best of them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "littlebit/models/decoder.h"
#include "session.h"

namespace littlebit {

// Runs every task and appends {"step", "model", "task", "metric" (the task's main one), and the
// task's entry of results.json} per task to run["scores"]. `model` is "teacher" or "student".
void score_model(const Session& session, const Decoder& decoder, const std::string& model,
                 int64_t step, Json& run);

// Puts the main metrics of a model's scores at `step` into run["summary"], as `<when>_<metric>`
// ("final_perplexity", "final_acc"): of several tasks with one metric the first counts.
void summarize_scores(const std::string& when, const std::string& model, int64_t step, Json& run);

// The student's best score after step 0 by the first task's main metric, among the steps whose
// checkpoint is in `checkpoints`, or equals `also`. Becomes run["best"] {step, task, metric,
// value}, which is removed where there is none. Of equals the earlier.
std::optional<int64_t> find_best(const std::filesystem::path& checkpoints,
                                 std::optional<int64_t> also, Json& run);

// The step of an entry of run["scores"]; -1 where it has none, as when another program wrote it.
int64_t score_step(const Json& entry);

// Whether the student has a score of `step`.
bool is_scored(int64_t step, const Json& run);

}  // namespace littlebit
