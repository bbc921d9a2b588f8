// Where a multiple-choice task's data lies.
#pragma once

#include <filesystem>

#include "littlebit/eval/choice_task.h"

namespace littlebit {

// Where the task's data lies: DATA_ROOT/NAME/FILE, DATA_ROOT/FILE, for a task file of one's own
// also beside it. FILE is the task's or one of its stem that ends in .jsonl, .json (both also .gz
// and .zst) or .parquet; in DATA_ROOT/NAME also one named by the split, as the Hub names it
// (test-00000-of-00001.parquet). The first of these. InputError naming these places and where
// people get the data.
std::filesystem::path find_choice_data(const ChoiceTask& task,
                                       const std::filesystem::path& data_root);

// The same for the file that examples are drawn from.
std::filesystem::path find_example_data(const ChoiceTask& task,
                                        const std::filesystem::path& data_root);

}  // namespace littlebit
