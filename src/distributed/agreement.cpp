// An error travels as text: its exit code, its message, its hint.
#include "littlebit/distributed/agreement.h"

#include <charconv>
#include <exception>
#include <string>
#include <vector>

#include "littlebit/core/error.h"

namespace littlebit {
namespace {

constexpr char kBorder = '\0';

std::string as_text(const std::exception_ptr& failure) {
  if (!failure) return "";
  try {
    std::rethrow_exception(failure);
  } catch (const Error& error) {
    return std::to_string(static_cast<int>(error.code())) + kBorder + error.what() + kBorder +
           error.hint();
  } catch (const std::exception& error) {
    return std::to_string(static_cast<int>(ExitCode::kBug)) + kBorder + error.what() + kBorder;
  }
}

[[noreturn]] void throw_from(const std::string& text, size_t rank) {
  const size_t first = text.find(kBorder), second = text.find(kBorder, first + 1);
  int code = static_cast<int>(ExitCode::kBug);
  std::from_chars(text.data(), text.data() + first, code);
  const std::string message =
      "process " + std::to_string(rank) + ": " + text.substr(first + 1, second - first - 1);
  const std::string hint = text.substr(second + 1);
  switch (static_cast<ExitCode>(code)) {
    case ExitCode::kUsage:
      throw UsageError(message, hint);
    case ExitCode::kInput:
      throw InputError(message, hint);
    case ExitCode::kNumerics:
      throw NumericsError(message, hint);
    case ExitCode::kOutput:
      throw OutputError(message, hint);
    default:
      throw Error(static_cast<ExitCode>(code), message, hint);
  }
}

}  // namespace

void in_all(Communicator& processes, const std::function<void()>& action) {
  std::exception_ptr failure;
  try {
    action();
  } catch (...) {
    failure = std::current_exception();
  }
  const std::vector<std::string> failures = processes.gather(as_text(failure));
  if (failure) std::rethrow_exception(failure);
  for (size_t rank = 0; rank < failures.size(); ++rank) {
    if (!failures[rank].empty()) throw_from(failures[rank], rank);
  }
}

}  // namespace littlebit
