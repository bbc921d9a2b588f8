// Tables as plain text.
#include "littlebit/logging/table.h"

#include <algorithm>

#include "littlebit/logging/console.h"
#include "logging/sinks.h"

namespace littlebit {

std::vector<size_t> Table::widths() const {
  std::vector<size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], sinks::width(row[i]));
  }
  return widths;
}

std::string Table::padded(const std::vector<std::string>& row, size_t column, size_t width) const {
  const std::string& cell = row[column];
  const std::string padding(width - sinks::width(cell), ' ');
  const bool left = std::find(left_.begin(), left_.end(), column) != left_.end();
  return left ? cell + padding : padding + cell;
}

std::string Table::text() const {
  const std::vector<size_t> wide = widths();
  const auto line_of = [&](const std::vector<std::string>& row) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) line += (i > 0 ? "  " : "") + padded(row, i, wide[i]);
    line.resize(line.find_last_not_of(' ') + 1);
    return line + "\n";
  };
  std::string text = line_of(rows_[0]);
  size_t total = wide.empty() ? 0 : 2 * (wide.size() - 1);
  for (const size_t each : wide) total += each;
  text += std::string(total, '-') + "\n";
  for (size_t i = 1; i < rows_.size(); ++i) text += line_of(rows_[i]);
  return text;
}

std::string Table::markdown() const {
  Table escaped({}, left_);
  escaped.rows_ = rows_;
  for (auto& row : escaped.rows_) {
    for (std::string& cell : row) {
      for (size_t bar = cell.find('|'); bar != std::string::npos; bar = cell.find('|', bar + 2)) {
        cell.insert(bar, 1, '\\');
      }
    }
  }
  std::vector<size_t> wide = escaped.widths();
  for (size_t& width : wide) width = std::max<size_t>(width, 3);
  std::vector<std::string> rule;
  for (size_t i = 0; i < wide.size(); ++i) {
    const bool left = std::find(left_.begin(), left_.end(), i) != left_.end();
    rule.push_back(left ? std::string(wide[i], '-') : std::string(wide[i] - 1, '-') + ":");
  }
  escaped.rows_.insert(escaped.rows_.begin() + 1, rule);
  std::string text;
  for (std::vector<std::string>& row : escaped.rows_) {
    row.resize(wide.size());
    text += "|";
    for (size_t i = 0; i < wide.size(); ++i) text += " " + escaped.padded(row, i, wide[i]) + " |";
    text += "\n";
  }
  return text;
}

void Table::print() const {
  const std::string lines = text();
  log_info(std::string_view(lines).substr(0, lines.size() - 1));
}

}  // namespace littlebit
