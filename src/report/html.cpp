// Escaping, numbers for people, tables and sections. escaped() makes every text safe: characters of
// markup, control characters, bytes that are not UTF-8.
#include "html.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"

namespace littlebit {
namespace {

void append_escaped(std::string* out, char c) {
  switch (c) {
    case '&':
      *out += "&amp;";
      return;
    case '<':
      *out += "&lt;";
      return;
    case '>':
      *out += "&gt;";
      return;
    case '"':
      *out += "&quot;";
      return;
    case '\'':
      *out += "&#39;";
      return;
    default:
      break;
  }
  const auto byte = static_cast<unsigned char>(c);
  if ((byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7F) {
    *out += kReplacement;
  } else {
    *out += c;
  }
}

}  // namespace

std::string escaped(std::string_view text, size_t max_bytes) {
  const bool cut = text.size() > max_bytes;
  if (cut) {
    while (max_bytes > 0 && (text[max_bytes] & 0xC0) == 0x80) --max_bytes;
    text = text.substr(0, max_bytes);
  }
  std::string out;
  while (!text.empty()) {
    const size_t good = std::min(invalid_utf8_at(text), text.size());
    for (const char c : text.substr(0, good)) append_escaped(&out, c);
    if (good == text.size()) break;
    out += kReplacement;
    text.remove_prefix(good + 1);
  }
  return cut ? out + " ..." : out;
}

std::string scientific_text(double value, int digits) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.*e", digits - 1, value);
  const std::string text = buffer;
  const size_t e = text.find('e');
  if (e == std::string::npos) return text;
  std::string mantissa = text.substr(0, e);
  if (mantissa.find('.') != std::string::npos) {
    mantissa.erase(mantissa.find_last_not_of('0') + 1);
    if (mantissa.back() == '.') mantissa.pop_back();
  }
  return mantissa + "e" + std::to_string(std::stoi(text.substr(e + 1)));
}

std::string number_text(double value) {
  if (!std::isfinite(value)) return "not finite";
  const double size = std::abs(value);
  if (size == 0) return "0";
  if (size >= 1e7 || size < 1e-3) return scientific_text(value, 3);
  if (size >= 999.95) return format_count(std::llround(value));
  return format_digits(value, 4);
}

std::string count_text(double value) {
  if (!(value >= 0 && value < 9e18)) return "?";
  return format_count(std::llround(value));
}

std::string bytes_text(double value) {
  if (!(value >= 0 && value < 1e19)) return "?";
  return format_bytes(static_cast<uint64_t>(value));
}

std::string percent_text(double fraction) {
  if (!std::isfinite(fraction)) return "?";
  const double percent = 100 * fraction;
  return format_fixed(percent, percent < 9.95 ? 2 : 1) + " %";
}

std::string factor_text(double factor) {
  if (!std::isfinite(factor) || factor <= 0) return "&ndash;";
  return (factor < 999.5 ? format_digits(factor, 3) : number_text(factor)) + "&times;";
}

HtmlTable::HtmlTable(std::vector<Column> columns, bool stacked)
    : columns_(std::move(columns)), stacked_(stacked) {}

void HtmlTable::add(const std::vector<std::string>& cells_html, std::string_view css_class) {
  LB_ASSERT(cells_html.size() == columns_.size(), "a cell per column");
  rows_ += css_class.empty() ? "<tr>" : "<tr class=\"" + std::string(css_class) + "\">";
  for (size_t i = 0; i < columns_.size(); ++i) {
    rows_ += (columns_[i].number ? "<td class=\"n\">" : "<td>") + cells_html[i];
  }
  rows_ += "\n";
}

std::string HtmlTable::html() const {
  std::string head;
  bool titled = false;
  for (const Column& column : columns_) {
    head += (column.number ? "<th class=\"n\">" : "<th>") + column.html;
    titled = titled || !column.html.empty();
  }
  return std::string("<div class=\"scroll\"><table") + (stacked_ ? " class=\"stacked\">" : ">") +
         (titled ? "<thead><tr>" + head + "</thead>" : "") + "<tbody>\n" + rows_ +
         "</tbody></table></div>\n";
}

std::string section(std::string_view title_html, const std::string& body_html) {
  if (body_html.empty()) return "";
  return "<section><h2>" + std::string(title_html) + "</h2>\n" + body_html + "</section>\n";
}

std::string details(std::string_view summary_html, const std::string& body_html) {
  return "<details><summary>" + std::string(summary_html) + "</summary>\n" + body_html +
         "</details>\n";
}

}  // namespace littlebit
