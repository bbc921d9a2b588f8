// Tables as plain text.
#include <algorithm>

#include "littlebit/logging/console.h"
#include "logging/sinks.h"

namespace littlebit {

std::string Table::text() const {
  std::vector<size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], sinks::width(row[i]));
  }
  const auto line_of = [&](const std::vector<std::string>& row) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - sinks::width(row[i]), ' ');
      if (i > 0) line += "  ";
      line += i == 0 ? row[i] + padding : padding + row[i];
    }
    line.resize(line.find_last_not_of(' ') + 1);
    return line + "\n";
  };
  std::string text = line_of(rows_[0]);
  size_t total = widths.empty() ? 0 : 2 * (widths.size() - 1);
  for (const size_t each : widths) total += each;
  text += std::string(total, '-') + "\n";
  for (size_t i = 1; i < rows_.size(); ++i) text += line_of(rows_[i]);
  return text;
}

void Table::print() const {
  const std::string lines = text();
  log_info(std::string_view(lines).substr(0, lines.size() - 1));
}

}  // namespace littlebit
