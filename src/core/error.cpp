// Assertions end as std::logic_error, so that main() can tell our bugs (exit code 1) from Error.
#include "littlebit/core/error.h"

namespace littlebit {

void assertion_failed(const char* condition, const char* file, int line,
                      const std::string& message) {
  throw std::logic_error(std::string(file) + ":" + std::to_string(line) + ": " + message +
                         " (expected " + condition + ")");
}

}  // namespace littlebit
