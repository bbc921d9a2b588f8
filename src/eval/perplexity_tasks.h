// The perplexity protocols of specs section 8 as tasks.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "littlebit/eval/tasks.h"

namespace littlebit {

inline constexpr char kTextTask[] = "text";  // eval.text in chunks
// eval.text by rolling log-likelihoods; the pages of WikiText-2's test split where none is given.
inline constexpr char kRollingTask[] = "rolling";

// Names of the tasks that need no eval.text, in the order of help texts.
std::vector<std::string> perplexity_tasks();

// Whether a task is a perplexity of chunks, which has the divergence from a teacher.
bool is_chunked(const std::string& task);

// `name`: one of them or kTextTask. Errors as prepare_tasks.
std::unique_ptr<EvalTask> prepare_perplexity(const std::string& name, const TaskInput& input);

}  // namespace littlebit
