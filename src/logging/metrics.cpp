// See metrics.h.
#include "littlebit/logging/metrics.h"

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <system_error>

#include "littlebit/core/error.h"
#include "littlebit/core/place.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"
#include "littlebit/core/write_file.h"
#include "littlebit/io/json.h"
#include "littlebit/logging/console.h"

namespace littlebit {
namespace {

enum class Line { kKeep, kLater, kTorn };

Line classify(std::string_view line, const std::string& source, int64_t step) {
  try {
    const Json record = parse_json(line, source);
    if (!record.is_object()) return Line::kTorn;  // "12" may be the front of a longer line
    const auto found = record.find("step");
    if (found == record.end() || !found->is_number()) return Line::kKeep;
    const bool later = found->is_number_integer()
                           ? found->get<int64_t>() > step
                           : found->get<double>() > static_cast<double>(step);
    return later ? Line::kLater : Line::kKeep;
  } catch (const InputError&) {
    return Line::kTorn;
  }
}

}  // namespace

void MetricsFile::append(const nlohmann::json& record) {
  LB_ASSERT(record.is_object(), "a line of metrics is an object");
  file_.append_line(to_json_line(record));
}

void MetricsFile::truncate_after(const std::filesystem::path& path, int64_t step) {
  if (!path_exists(path)) return;
  const MappedFile file(path);
  const auto bytes = file.bytes();
  std::string_view rest(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::string kept;
  int64_t torn = 0;
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    const bool whole = end != std::string_view::npos;
    const Line kind = whole ? classify(line, path.string(), step) : Line::kTorn;
    if (kind == Line::kKeep) kept.append(line).append("\n");
    torn += kind == Line::kTorn;
    rest.remove_prefix(whole ? end + 1 : rest.size());
  }
  if (torn > 0) {
    log_warning("removed " + format_count(torn) + " unfinished line" + (torn > 1 ? "s" : "") +
                " from `" + path.string() + "`, left by an interrupted run");
  }
  if (kept.size() != bytes.size()) write_file(path, kept);
}

}  // namespace littlebit
