// Tables for people.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace littlebit {

// A table with aligned columns; those of `left` are left-aligned, the rest right-aligned. Printed
// to stderr as info.
class Table {
 public:
  explicit Table(std::vector<std::string> header, std::vector<size_t> left = {0})
      : rows_{std::move(header)}, left_(std::move(left)) {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::string text() const;      // lines ending in "\n", a rule under the header
  std::string markdown() const;  // a Markdown table, aligned for reading as it is too
  void print() const;

 private:
  std::vector<size_t> widths() const;  // by column, in characters
  std::string padded(const std::vector<std::string>& row, size_t column, size_t width) const;

  std::vector<std::vector<std::string>> rows_;
  std::vector<size_t> left_;
};

}  // namespace littlebit
