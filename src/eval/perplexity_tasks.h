// The perplexity protocols of specs section 8 as tasks.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "littlebit/eval/tasks.h"

namespace littlebit {

inline constexpr char kTextTask[] = "text";  // one's own file, eval.text

// Names of the tasks that have their own data, in the order of help texts.
std::vector<std::string> perplexity_tasks();

// nullptr where `name` is none of them nor kTextTask. Errors as prepare_tasks.
std::unique_ptr<EvalTask> prepare_perplexity(const std::string& name, const TaskInput& input);

}  // namespace littlebit
