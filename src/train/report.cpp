// See report.h. The page holds no script and names no other file; a policy in its head forbids
// both.
#include "littlebit/train/report.h"

#include "littlebit/core/file.h"
#include "report_data.h"
#include "report_html.h"
#include "report_sections.h"
#include "run_folder.h"

namespace littlebit {
namespace {

std::string notes(const ReportData& data) {
  std::string items;
  for (const std::string& note : data.notes) items += "<li>" + escaped(note, 500) + "</li>\n";
  if (items.empty()) return "";
  return section("Not shown",
                 "<div class=\"card pad\"><ul class=\"small\">" + items + "</ul></div>\n");
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
  std::string page =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'\">\n<title>LittleBit run " +
      escaped(name, 200) + "</title>\n<style>" + std::string(style_sheet()) +
      "</style>\n</head>\n<body><main>\n<header>" + headline(data, name) + "</header>\n";
  page +=
      sections.empty() ? "<p class=\"soft\">The run folder has no results yet.</p>\n" : sections;
  page +=
      "<footer>Drawn from run.json, metrics.jsonl, factorization.jsonl and config.yaml by "
      "LittleBit " LITTLEBIT_VERSION ".</footer>\n</main></body>\n</html>\n";
  write_file(RunFolder(run_folder).report(), page);
}

}  // namespace littlebit
