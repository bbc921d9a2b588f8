// The files of configs/eval/tasks as the build put them into the program (src/cmake/Embed.cmake).
// They are part of it, so that the numbers of a protocol do not depend on where the program
// was started or on an edited file.
#pragma once

#include <span>
#include <string_view>

namespace littlebit {

struct BuiltinTask {
  std::string_view name, yaml;
};

std::span<const BuiltinTask> builtin_tasks();  // sorted by name

}  // namespace littlebit
