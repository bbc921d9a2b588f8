// Multiple-choice tasks (choice_task.h) as tasks of an evaluation.
#pragma once

#include <memory>
#include <string>

#include "littlebit/eval/tasks.h"

namespace littlebit {

// `name` as in load_choice_task. Errors as prepare_tasks.
std::unique_ptr<EvalTask> prepare_choices(const std::string& name, const TaskInput& input);

}  // namespace littlebit
