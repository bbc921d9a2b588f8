// An error travels as text: its exit code, its message, its hint; behind it the warnings that the
// process has not told the others yet.
#include "littlebit/distributed/agreement.h"

#include <algorithm>
#include <charconv>
#include <exception>
#include <string>
#include <vector>

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/logging/shared_problems.h"

namespace littlebit {
namespace {

// Bytes that messages do not contain.
constexpr char kBorder = '\0', kWarning = '\1';

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

std::string message_of(const std::string& text) {
  const size_t first = text.find(kBorder), second = text.find(kBorder, first + 1);
  return text.substr(first + 1, second - first - 1);
}

[[noreturn]] void throw_from(const std::string& text, size_t rank) {
  int code = static_cast<int>(ExitCode::kBug);
  std::from_chars(text.data(), text.data() + text.find(kBorder), code);
  const std::string message = "process " + std::to_string(rank) + ": " + message_of(text);
  const std::string hint = text.substr(text.rfind(kBorder) + 1);
  leave_to_first(message);
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
  std::string mine = as_text(failure);
  for (const std::string& warning : warnings_to_tell()) mine += kWarning + warning;
  // Everybody takes part, whether it failed or not: nobody is left waiting in the next operation
  // for one that has thrown.
  std::vector<std::string> failures = processes.gather(mine);
  std::vector<std::vector<std::string>> warnings;
  for (std::string& text : failures) {
    warnings.push_back(split(text, kWarning));
    text = std::move(warnings.back().front());
    warnings.back().erase(warnings.back().begin());
  }
  show_told_warnings(warnings);
  const auto told = std::find_if(failures.begin(), failures.end(),
                                 [](const std::string& text) { return !text.empty(); });
  if (told == failures.end()) return;
  const auto rank = static_cast<size_t>(told - failures.begin());
  // The others' errors end this process, too, with the same exit code.
  if (!failure) throw_from(*told, rank);
  // The same error in every process is printed once.
  if (failures[static_cast<size_t>(processes.rank())] == *told) leave_to_first(message_of(*told));
  std::rethrow_exception(failure);
}

std::vector<int64_t> numbers_of(Communicator& processes, int64_t mine) {
  std::vector<int64_t> numbers;
  for (const std::string& text : processes.gather(std::to_string(mine))) {
    numbers.push_back(std::stoll(text));
  }
  return numbers;
}

void first_then_others(Communicator& processes, const std::function<void()>& action) {
  // An error of the first ends all before the others begin.
  for (const bool is_first : {true, false}) {
    in_all(processes, [&] {
      if (processes.is_first() == is_first) action();
    });
  }
}

}  // namespace littlebit
