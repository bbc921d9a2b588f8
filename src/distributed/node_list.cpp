// Slurm's short forms for many hosts and many counts.
#include "littlebit/distributed/node_list.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/distributed/environment.h"

namespace littlebit {
namespace {

constexpr size_t kMaxHosts = 65536;
constexpr size_t kMaxDigits = 18;

[[noreturn]] void refuse(std::string_view list, const std::string& why) {
  throw UsageError("\"" + std::string(list) + "\" is not a list of Slurm's: " + why,
                   "as in \"n[001-003,007],login1\"; MASTER_ADDR names the first host without it");
}

// A number of digits only.
std::optional<int64_t> digits(std::string_view text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || text.size() > kMaxDigits || text[0] == '-' || error != std::errc() ||
      end != text.data() + text.size()) {
    return std::nullopt;
  }
  return number;
}

// Commas between brackets do not separate names.
std::vector<std::string_view> names_in(std::string_view list) {
  std::vector<std::string_view> names;
  size_t begin = 0;
  bool inside = false;
  for (size_t i = 0; i <= list.size(); ++i) {
    const char c = i < list.size() ? list[i] : ',';
    if (c == '[' && inside) refuse(list, "a bracket inside brackets");
    if (c == ']' && !inside) refuse(list, "a bracket is closed that was not opened");
    if (i == list.size() && inside) refuse(list, "a bracket is not closed");
    inside = c == '[' || (inside && c != ']');
    if (c != ',' || inside) continue;
    const std::string_view name = trim(list.substr(begin, i - begin));
    if (!name.empty()) names.push_back(name);
    begin = i + 1;
  }
  return names;
}

// "001-003,007" -> 001 002 003 007: as wide as the first of a range.
std::vector<std::string> numbers_in(std::string_view list, std::string_view ranges) {
  std::vector<std::string> numbers;
  for (const std::string& range : split(ranges, ',')) {
    const size_t dash = range.find('-');
    const std::string first = range.substr(0, dash),
                      last = dash == std::string::npos ? first : range.substr(dash + 1);
    const std::optional<int64_t> low = digits(first), high = digits(last);
    if (!low || !high) refuse(list, "\"" + range + "\" is not a range of numbers");
    if (*low > *high) refuse(list, "the range " + range + " goes down");
    if (*high - *low >= static_cast<int64_t>(kMaxHosts)) {
      refuse(list, "more than 65,536 hosts");
    }
    for (int64_t number = *low; number <= *high; ++number) {
      std::string text = std::to_string(number);
      if (text.size() < first.size()) text.insert(0, first.size() - text.size(), '0');
      numbers.push_back(std::move(text));
    }
  }
  return numbers;
}

// All names of one pattern, the last bracket moving fastest.
std::vector<std::string> expand(std::string_view list, std::string_view pattern) {
  std::vector<std::string> names = {""};
  while (!pattern.empty()) {
    const size_t open = pattern.find('[');
    for (std::string& name : names) name += pattern.substr(0, open);
    if (open == std::string_view::npos) break;
    const size_t close = pattern.find(']', open);
    const std::vector<std::string> numbers =
        numbers_in(list, pattern.substr(open + 1, close - open - 1));
    // Before the product is made: a few brackets can stand for more names than memory holds.
    if (names.size() * numbers.size() > kMaxHosts) refuse(list, "more than 65,536 hosts");
    std::vector<std::string> longer;
    for (const std::string& name : names) {
      for (const std::string& number : numbers) longer.push_back(name + number);
    }
    names = std::move(longer);
    pattern.remove_prefix(close + 1);
  }
  return names;
}

}  // namespace

std::vector<std::string> parse_node_list(std::string_view list) {
  std::vector<std::string> hosts;
  for (const std::string_view pattern : names_in(list)) {
    for (std::string& name : expand(list, pattern)) hosts.push_back(std::move(name));
    if (hosts.size() > kMaxHosts) refuse(list, "more than 65,536 hosts");
  }
  if (hosts.empty()) refuse(list, "it names no host");
  return hosts;
}

std::vector<int64_t> parse_tasks_per_node(std::string_view list) {
  std::vector<int64_t> tasks;
  for (const std::string& part : split(list, ',')) {
    const size_t open = part.find("(x");
    std::optional<int64_t> times = 1;
    if (open != std::string::npos) {
      times =
          part.back() == ')' ? digits(part.substr(open + 2, part.size() - open - 3)) : std::nullopt;
    }
    const std::optional<int64_t> count = digits(part.substr(0, open));
    if (!count || !times || *times > static_cast<int64_t>(kMaxHosts)) {
      refuse(list, "\"" + part + "\" is not a count of tasks, such as 4 or 4(x2)");
    }
    tasks.insert(tasks.end(), static_cast<size_t>(*times), *count);
    if (tasks.size() > kMaxHosts) refuse(list, "more than 65,536 hosts");
  }
  return tasks;
}

}  // namespace littlebit
