// See report.h. The page holds no script and names no other file; a policy in its head forbids
// both.
#include "littlebit/report/report.h"

#include <map>

#include "html.h"
#include "littlebit/core/error.h"
#include "littlebit/core/write_file.h"
#include "littlebit/report/run_files.h"
#include "run_data.h"
#include "sections.h"

namespace littlebit {
namespace {

std::string notes(const ReportData& data) {
  std::string items;
  for (const std::string& note : data.notes) items += "<li>" + escaped(note, 500) + "</li>\n";
  if (items.empty()) return "";
  return section("Not shown",
                 "<div class=\"card pad\"><ul class=\"small\">" + items + "</ul></div>\n");
}

// The text with each {{name}} replaced. What is put in is not looked at again.
std::string filled(std::string_view text, const std::map<std::string, std::string>& values) {
  std::string result;
  for (size_t open; (open = text.find("{{")) != std::string_view::npos;) {
    const size_t close = text.find("}}", open);
    LB_ASSERT(close != std::string_view::npos, "a placeholder ends");
    result += text.substr(0, open);
    result += values.at(std::string(text.substr(open + 2, close - open - 2)));
    text.remove_prefix(close + 2);
  }
  return result += text;
}

}  // namespace

void write_report(const std::filesystem::path& run_folder) {
  const ReportData data = read_report_data(run_folder);
  // "runs/first/" and "." have a name too.
  std::error_code error;
  const std::filesystem::path whole =
      std::filesystem::absolute(run_folder / "x", error).lexically_normal();
  const std::string name = whole.parent_path().filename().string();
  const std::string sections = training_section(data) + score_section(data) + bytes_section(data) +
                               layer_section(data) + config_section(data) +
                               environment_section(data) + notes(data);
  const std::string page = filled(
      page_skeleton(),
      {{"name", escaped(name, 200)},
       {"style", std::string(style_sheet())},
       {"headline", headline(data, name)},
       {"sections",
        sections.empty() ? "<p class=\"soft\">The run folder has no results yet.</p>\n" : sections},
       {"version", LITTLEBIT_VERSION}});
  write_file(RunFiles(run_folder).report(), page);
}

}  // namespace littlebit
