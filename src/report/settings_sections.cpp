// Sections about how the run was made: its options with their origins, and where it ran.
#include "html.h"
#include "littlebit/core/strings.h"
#include "sections.h"

namespace littlebit {
namespace {

constexpr size_t kMaxRows = 200;

std::string option_table(const std::vector<ReportOption>& options, bool all) {
  HtmlTable table({{"option"}, {"value"}, {"from"}}, /*stacked=*/true);
  for (const ReportOption& option : options) {
    const bool is_default = option.origin == "default";
    if (is_default && !all) continue;
    table.add(
        {"<code>" + escaped(option.key) + "</code>", "<code>" + escaped(option.value) + "</code>",
         "<span class=\"soft\">" + escaped(option.origin) + "</span>"},
        is_default ? "default" : "");
  }
  return table.empty() ? "" : table.html();
}

std::string value_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_integer()) return format_count(value.get<int64_t>());
  return to_json_line(value);
}

void add_rows(const Json& object, const std::string& prefix, size_t* rows, HtmlTable* table) {
  if (!object.is_object()) return;
  for (const auto& [key, value] : object.items()) {
    if (++*rows > kMaxRows) return;
    table->add({"<code>" + escaped(prefix + key, 200) + "</code>",
                "<code>" + escaped(value_text(value), 500) + "</code>"});
  }
}

}  // namespace

std::string config_section(const ReportData& data) {
  if (!data.config_text.empty()) {
    return section("Configuration", "<div class=\"card pad\"><pre>" +
                                        escaped(data.config_text, 200000) + "</pre></div>\n");
  }
  if (data.options.empty()) return "";
  const std::string set = option_table(data.options, false);
  const std::string all = option_table(data.options, true);
  const std::string number = count_text(static_cast<double>(data.options.size()));
  return section(
      "Configuration",
      "<div class=\"card pad\">" +
          (set.empty() ? "<p class=\"soft\">All options have their defaults.</p>" : set) +
          details("All " + number + " options", all) + "</div>\n");
}

std::string environment_section(const ReportData& data) {
  HtmlTable table({{""}, {""}}, /*stacked=*/true);
  size_t rows = 0;
  add_rows(member_of(data.run, "model"), "model.", &rows, &table);
  add_rows(member_of(data.run, "data"), "data.", &rows, &table);
  add_rows(member_of(data.run, "environment"), "", &rows, &table);
  if (table.empty()) return "";
  return section("Environment", "<div class=\"card pad\">" + table.html() + "</div>\n");
}

}  // namespace littlebit
