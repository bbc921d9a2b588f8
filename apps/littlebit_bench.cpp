// littlebit-bench: the command line in front of include/littlebit/bench/bench.h.
#include <algorithm>

#include "command_line.h"
#include "littlebit/bench/bench.h"
#include "littlebit/bench/device_check.h"
#include "programs.h"

namespace littlebit {

int littlebit_bench(int argc, char** argv) {
  CLI::App app("Measures what this machine and the parts of littlebit can do.", "littlebit-bench");
  app.set_version_flag("--version", "littlebit-bench " LITTLEBIT_VERSION);
  std::string config, folder, earlier;
  std::vector<std::string> words;
  app.add_option("--config", config, "YAML file with options")->type_name("FILE");
  app.add_option("--compare", earlier,
                 "Results of an earlier run (its bench.output) to compare this one with")
      ->type_name("FILE");
  app.add_option("cases", words, "Names of cases, and options as key=value");
  CLI::App* report =
      app.add_subcommand("report", "Summarises the results of tests/device/check.sh in a folder");
  report->add_option("folder", folder, "The folder")->required();
  app.footer([] {
    BenchOptions options;
    OptionTree tree;
    options.declare(tree);
    return "Cases:\n" + bench_cases_help() + "\nOptions:\n" + tree.help_text();
  });
  if (const auto done = parse_command_line(app, argc, argv)) return *done;
  if (report->parsed()) return static_cast<int>(report_device_check(folder));
  BenchOptions options;
  OptionTree tree;
  options.declare(tree);
  const auto middle = std::stable_partition(
      words.begin(), words.end(),
      [](const std::string& word) { return word.find('=') == std::string::npos; });
  const std::vector<std::string> names(words.begin(), middle);
  read_options(tree, config, {middle, words.end()});
  tree.finish();
  return static_cast<int>(run_bench(options, names, earlier));
}

}  // namespace littlebit
