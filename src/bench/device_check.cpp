// Puts the device check together. What a part should have left and did not is a failure of that
// part, never of this report.
#include "littlebit/bench/device_check.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cases.h"
#include "littlebit/bench/bench.h"
#include "littlebit/core/place.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"
#include "littlebit/core/write_file.h"
#include "littlebit/logging/console.h"
#include "littlebit/logging/table.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

constexpr const char* kParts[] = {"checks", "step",     "demo",      "processes",
                                  "dense",  "generate", "operations"};
constexpr const char* kLever = "lever-";       // the parts behind it, as many as the script has
constexpr int kTimedOut = 124, kKilled = 137;  // what timeout(1) ends with

// A JSON file, or null where it is missing or damaged.
Json read_or_null(const fs::path& file) {
  try {
    return path_exists(file) ? read_json_file(file) : Json();
  } catch (const Error&) {
    return {};
  }
}

// parts.txt of tests/device/check.sh: "device cuda", then "NAME code seconds" by part. `order`:
// their names as they stand there.
Json read_parts(const fs::path& file, std::string& device, std::vector<std::string>& order) {
  std::istringstream lines(read_file(file));
  Json parts = Json::object();
  std::string name, code, seconds;
  lines >> name >> device;
  while (lines >> name >> code >> seconds) {
    parts[name] = {{"exit_code", std::atoi(code.c_str())}, {"seconds", std::atoi(seconds.c_str())}};
    order.push_back(name);
  }
  return parts;
}

std::string what_happened(const Json& part) {
  if (part.is_null()) return "did not run";
  const int code = part.at("exit_code");
  if (code == kTimedOut || code == kKilled) return "timed out";
  return code == 0 ? "" : "ended with exit code " + std::to_string(code);
}

// The training steps of all lever parts, each beside the one of its shape without levers: as fast,
// and with the loss and the gradients' norm that it should have. Those differ by rounding: of block
// inputs in bf16, of moments after one update, of sums.
Json compare_levers(Json rows) {
  constexpr double kAllowed = 0.01;
  const auto shape = [](const Json& row) {
    return std::tuple(row.at("bits").get<double>(), row.at("blocks").get<int64_t>(),
                      row.at("batch").get<std::string>());
  };
  std::map<std::tuple<double, int64_t, std::string>, Json> plain;
  for (const Json& row : rows) {
    if (row.at("levers") == "none") plain[shape(row)] = row;
  }
  for (Json& row : rows) {
    const auto found = plain.find(shape(row));
    if (found == plain.end()) continue;
    const auto ratio = [&](const char* what) {
      return row.at(what).get<double>() / found->second.at(what).get<double>();
    };
    row["times_none"] = ratio("tokens_per_second");
    const bool ok = std::abs(ratio("step_loss") - 1) <= kAllowed &&
                    std::abs(ratio("gradient_norm") - 1) <= kAllowed;  // false where one is NaN
    row["ok"] = ok;
    row["verdict"] = verdict(ok);
  }
  return rows;
}

const CaseTable kLeverTable = {"rows",
                               "Levers",
                               {{"bits", "bits", CellFormat::kNumber},
                                {"blocks", "blocks", CellFormat::kCount},
                                {"batch", "batch"},
                                {"levers", "levers"},
                                {"s", "seconds", CellFormat::kNumber},
                                {"tokens/s", "tokens_per_second", CellFormat::kCount},
                                {"of none's", "times_none", CellFormat::kPercent},
                                {"peak memory", "peak_bytes", CellFormat::kBytes},
                                {"loss", "step_loss", CellFormat::kNumber},
                                {"gradient norm", "gradient_norm", CellFormat::kNumber},
                                {"", "verdict"}}};

// The loss of each step of a run of the demo; empty where it left none.
std::vector<double> losses_of(const fs::path& run) {
  std::ifstream metrics(run / "metrics.jsonl");
  std::vector<double> losses;
  for (std::string line; std::getline(metrics, line);) {
    losses.push_back(parse_json(line, "metrics.jsonl").value("loss", 0.0));
  }
  return losses;
}

// The demo's first steps by two processes beside those by one. They differ by the order of sums,
// and by fp32 and bf16 where the two are on the CPU and the one on a GPU; both move a few layers'
// ranks.
Json read_processes(const fs::path& folder) {
  constexpr double kAllowed = 0.1;
  const std::vector<double> one = losses_of(folder / "demo"),
                            several = losses_of(folder / "processes");
  if (several.empty() || one.size() < several.size()) return {};
  double difference = 0;
  for (size_t i = 0; i < several.size(); ++i) {
    difference = std::max(difference, std::abs(several[i] - one[i]) / one[i]);
  }
  return {{"steps", several.size()}, {"difference", difference}, {"ok", difference <= kAllowed}};
}

// The demo's scores beside what they must be.
Json read_demo(const fs::path& folder) {
  const Json run = read_or_null(folder / "demo" / "run.json");
  const Json expected = read_or_null("tests/device/demo.json");
  std::ifstream metrics(folder / "demo" / "metrics.jsonl");
  std::vector<double> seconds;
  for (std::string line; std::getline(metrics, line);) {
    seconds.push_back(parse_json(line, "metrics.jsonl").value("seconds", 0.0));
  }
  const Json summary = run.is_object() ? run.value("summary", Json::object()) : Json::object();
  if (seconds.empty() || !summary.contains("final_perplexity")) return {};
  Json demo = {{"steps", seconds.size()},
               {"seconds_a_step", median(seconds)},
               {"initial_perplexity", summary.value("initial_perplexity", 0.0)},
               {"final_perplexity", summary.at("final_perplexity")}};
  const double got = demo.at("final_perplexity");
  const std::string steps = std::to_string(seconds.size());
  if (expected.is_object() && expected.contains(steps)) {
    const double want = expected.at(steps).at("perplexity").get<double>();
    demo["expected_perplexity"] = want;
    demo["ok"] = std::abs(got - want) <= expected.at(steps).at("allowed").get<double>() * want;
  }
  return demo;
}

std::string demo_markdown(const Json& demo) {
  Table table({"steps", "s a step", "perplexity before", "after", "on a CPU", ""});
  const auto number = [&](const char* key) {
    return demo.contains(key) ? format_digits(demo.at(key), 4) : std::string();
  };
  table.add({std::to_string(demo.at("steps").get<int>()), number("seconds_a_step"),
             number("initial_perplexity"), number("final_perplexity"),
             number("expected_perplexity"),
             !demo.contains("ok")        ? ""
             : demo.at("ok").get<bool>() ? "ok"
                                         : "FAILED"});
  return "\n## Demo\n\n" + table.markdown();
}

std::string case_markdown(const std::string& name, const Json& result) {
  const BenchCase* known = find_case(name);
  if (known == nullptr) return "";
  std::string text;
  for (const CaseTable& table : known->tables) {
    if (result.value(table.key, Json::array()).empty()) continue;
    text += "\n## " + std::string(table.title) + "\n\n" + show(table, result).markdown();
  }
  return text;
}

}  // namespace

ExitCode report_device_check(const fs::path& folder) {
  std::string device;
  std::vector<std::string> order;
  Json check = {{"parts", read_parts(folder / "parts.txt", device, order)}};
  check["device"] = device;
  if (path_exists(folder / "nvidia-smi.txt")) {
    check["nvidia_smi"] = std::string(trim(read_file(folder / "nvidia-smi.txt")));
  }
  std::vector<std::string> failures;
  std::string tables;
  Json cases = Json::object();
  std::vector<std::string> parts(std::begin(kParts), std::end(kParts));
  Json lever_rows = Json::array(), lever_lines = Json::array();
  std::copy_if(order.begin(), order.end(), std::back_inserter(parts),
               [](const std::string& name) { return name.starts_with(kLever); });
  for (const std::string& part : parts) {
    const std::string why = what_happened(check.at("parts").value(part, Json()));
    if (!why.empty()) failures.push_back(part + " " + why);
    if (part == "demo") {
      Json demo = read_demo(folder);
      if (demo.is_null()) {
        if (why.empty()) failures.push_back("demo left no result");
        continue;
      }
      if (!demo.value("ok", true)) failures.push_back("the demo's perplexity differs");
      tables += demo_markdown(demo);
      check["demo"] = std::move(demo);
      continue;
    }
    if (part == "processes") {
      Json processes = read_processes(folder);
      if (processes.is_null() && why.empty()) failures.push_back("processes left no result");
      if (!processes.is_null() && !processes.at("ok").get<bool>()) {
        failures.push_back("two processes give other losses than one");
      }
      check["processes"] = std::move(processes);
      continue;
    }
    const Json result = read_or_null(folder / (part + ".json"));
    if (!result.is_object()) {
      if (why.empty()) failures.push_back(part + " left no result");
      continue;
    }
    if (!check.contains("environment")) check["environment"] = result.at("environment");
    if (part.starts_with(kLever)) {
      const Json& step = result.at("cases").at("step");
      for (const Json& row : step.at("rows")) lever_rows.push_back(row);
      for (const Json& line : step.value("extrapolated", Json::array()))
        lever_lines.push_back(line);
      continue;
    }
    for (const auto& [name, rows] : result.at("cases").items()) {
      tables += case_markdown(name, rows);
      cases[name] = rows;
    }
  }
  Json levers = {{"rows", compare_levers(std::move(lever_rows))},
                 {"extrapolated", std::move(lever_lines)}};
  for (const Json& row : levers.at("rows")) {
    if (row.value("ok", true)) continue;
    failures.push_back("with " + row.at("levers").get<std::string>() +
                       " the loss or the gradients are others");
  }
  if (!levers.at("rows").empty()) {
    tables += "\n## Levers\n\n" + show(kLeverTable, levers).markdown();
    if (!levers.at("extrapolated").empty()) {
      tables += "\n" + show(find_case("step")->tables.at(1), levers).markdown();
    }
  }
  check["levers"] = std::move(levers);
  check["cases"] = std::move(cases);
  check["failures"] = failures;

  std::string text = "# Device check\n\n";
  const Json environment = check.value("environment", Json::object());
  text += "* device: " + environment.value("gpu", device) + "\n";
  if (check.contains("nvidia_smi")) {
    text += "* nvidia-smi: " + check.at("nvidia_smi").get<std::string>() + "\n";
  }
  text += "* processor: " + environment.value("processor", std::string("unknown")) +
          "\n* littlebit " + environment.value("littlebit", std::string("?")) + ", LibTorch " +
          environment.value("libtorch", std::string("?")) + "\n";
  if (const Json& processes = check.at("processes"); processes.is_object()) {
    text += "* two processes: losses of " + std::to_string(processes.at("steps").get<int>()) +
            " steps within " + format_digits(processes.at("difference"), 2) + " of one's\n";
  }
  for (const std::string& failure : failures) text += "* **FAILED**: " + failure + "\n";
  if (failures.empty()) text += "* all parts ran, all comparisons agree\n";
  write_file(folder / "check.json", to_json_pretty(check));
  write_file(folder / "check.md", text + tables);
  for (const std::string& failure : failures) log_error("device check: " + failure);
  log_info("wrote " + (folder / "check.md").string() + " and check.json");
  return failures.empty() ? ExitCode::kDone : ExitCode::kBug;
}

}  // namespace littlebit
