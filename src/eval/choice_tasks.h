// Multiple-choice tasks (choice_task.h) as tasks of an evaluation.
#pragma once

#include <memory>

#include "littlebit/eval/choice_task.h"
#include "littlebit/eval/tasks.h"

namespace littlebit {

// Errors as prepare_tasks.
std::unique_ptr<EvalTask> prepare_choices(const ChoiceTask& task, const TaskInput& input);

}  // namespace littlebit
