// Pieces of the report's page: escaping, numbers for people, tables, the style sheet.
//
// Invariant: text from a run folder enters the page through escaped() alone. Parameters and members
// called html are markup already.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace littlebit {

// Text as HTML, for elements and quoted attributes. What is not UTF-8, and control characters, are
// shown as U+FFFD; more than `max_bytes` are cut off.
std::string escaped(std::string_view text, size_t max_bytes = 2000);

// Numbers as plain text. NaN and infinity: "not finite".
std::string number_text(double value);      // about four digits: "0.0123", "12.35", "1,235", "3e-5"
std::string count_text(double value);       // "1,294,336"; "?" where it is no count
std::string bytes_text(double value);       // "9.54 MiB"; "?" where it is no size
std::string percent_text(double fraction);  // "12.3 %"
std::string factor_text(double factor);     // "12.3&times;"; a dash where it is none
std::string scientific_text(double value, int digits);  // "4e-5", "1.25e12"

// A <table> in a box that scrolls sideways where the page is too narrow.
class HtmlTable {
 public:
  struct Column {
    std::string html;
    bool number = false;  // aligned to the right
  };
  // `stacked`: on a narrow page the cells of a row stand below each other.
  explicit HtmlTable(std::vector<Column> columns, bool stacked = false);

  // One cell per column. `css_class` marks the row.
  void add(const std::vector<std::string>& cells_html, std::string_view css_class = "");
  bool empty() const { return rows_.empty(); }
  std::string html() const;

 private:
  std::vector<Column> columns_;
  bool stacked_;
  std::string rows_;
};

// <section> with a heading; "" where `body_html` is empty.
std::string section(std::string_view title_html, const std::string& body_html);

// <details> that is closed at first.
std::string details(std::string_view summary_html, const std::string& body_html);

// report.css and report.html of this folder, as the build put them into the program.
std::string_view style_sheet();
std::string_view page_skeleton();

}  // namespace littlebit
