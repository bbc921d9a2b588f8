// Runs cases one after the other: a table each, everything into one JSON file.
#include "littlebit/bench/bench.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "cases.h"
#include "littlebit/core/signals.h"
#include "littlebit/core/stopwatch.h"
#include "littlebit/core/strings.h"
#include "littlebit/core/write_file.h"
#include "littlebit/device/device.h"
#include "littlebit/device/memory.h"
#include "littlebit/eval/environment.h"
#include "littlebit/io/json.h"
#include "littlebit/logging/console.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

std::vector<const BenchCase*> chosen_cases(const std::vector<std::string>& names) {
  std::vector<std::string> known;
  for (const BenchCase& each : bench_cases()) known.emplace_back(each.name);
  for (const std::string& name : names) {
    if (find_case(name) != nullptr) continue;
    const auto nearest = nearest_name(name, known);
    throw UsageError("there is no case '" + name + "'",
                     nearest ? "did you mean '" + *nearest + "'?" : "cases: " + join(known, ", "));
  }
  std::vector<const BenchCase*> chosen;
  for (const BenchCase& each : bench_cases()) {
    const bool named = std::find(names.begin(), names.end(), each.name) != names.end();
    if (named || (names.empty() && each.by_default)) chosen.push_back(&each);
  }
  return chosen;
}

// `earlier`: the same case in another run, or null.
void print(const BenchCase& each, const Json& result, const Json& earlier) {
  for (const CaseTable& table : each.tables) {
    if (result.value(table.key, Json::array()).empty()) continue;
    log_info(std::string("\n") + table.title);
    show(table, result).print();
    if (!earlier.is_object()) continue;
    if (const auto compared = compare(table, earlier, result)) {
      log_info(std::string("\n") + table.title + ", against the earlier run");
      compared->print();
    }
  }
}

Json read_earlier(const fs::path& path) {
  if (path.empty()) return nullptr;
  Json earlier = read_json_file(path);
  if (!earlier.is_object() || !earlier.contains("cases") || !earlier["cases"].is_object()) {
    throw InputError(path.string() + " holds no results of littlebit-bench",
                     "--compare takes a file that a run with bench.output=FILE wrote");
  }
  return earlier;
}

// Times of another machine, or of another number of threads, say little about the program.
void warn_where_different(const Json& earlier, const Json& environment) {
  if (!earlier.is_object()) return;
  const Json before = earlier.value("environment", Json::object());
  for (const char* what : {"device", "processor", "gpu", "threads", "dtype"}) {
    const Json was = before.value(what, Json()), is = environment.value(what, Json());
    if (was == is) continue;
    log_warning(std::string("the earlier run had another ") + what + ": " + to_json_line(was) +
                ", now " + to_json_line(is));
  }
}

}  // namespace

std::string bench_cases_help() {
  std::string text;
  for (const BenchCase& each : bench_cases()) {
    text += "  " + std::string(each.name) + ": " + each.help +
            (each.by_default ? "\n" : " (only where it is named)\n");
  }
  return text;
}

ExitCode run_bench(const BenchOptions& options, const std::vector<std::string>& names,
                   const fs::path& earlier_path) {
  const std::vector<const BenchCase*> cases = chosen_cases(names);
  const Json earlier = read_earlier(earlier_path);
  std::optional<OutputFile> output;
  if (!options.run.output.empty()) output.emplace(options.run.output);
  use_threads(options.run.threads);
  const at::Device device = open_device(options.run.device, "bench.device");
  const at::ScalarType dtype = float_type(options.stack.dtype, device);
  const BenchSetup setup{options, DeviceTimer(device, options.run.repeats), dtype};
  log_info("measuring on " + describe_device(device) + ", " +
           std::to_string(at::get_num_threads()) + " threads");

  Json results = {{"environment", environment_json(device, at::get_num_threads(), name_of(dtype))},
                  {"cases", Json::object()}};
  warn_where_different(earlier, results["environment"]);
  ExitCode code = ExitCode::kDone;
  for (const BenchCase* each : cases) {
    if (stop_requested())
      throw Error(ExitCode::kStopped, "stopped before case " + std::string(each->name));
    const Stopwatch stopwatch;
    Json result = each->run(setup);
    release_memory(device);
    result["seconds"] = stopwatch.seconds();
    print(*each, result, earlier.is_object() ? earlier["cases"].value(each->name, Json()) : Json());
    if (!all_ok(result)) {
      log_error(std::string("case ") + each->name + ": differences exceed the tolerance",
                "do not train on this device until the cause is known");
      code = ExitCode::kBug;
    }
    results["cases"][each->name] = std::move(result);
  }
  if (output) {
    output->write(to_json_pretty(results));
    output->commit();
    log_info("\nwrote " + options.run.output.string());
  }
  return code;
}

}  // namespace littlebit
