// littlebit-bench: what this machine and this program's parts can do, each part beside what the
// machine itself gives. Everything measured is made in memory (random weights, bits and scales);
// only the cases `golden`, `tokenizer` and `svd` with `case.matrices` read files, which the options
// name.
#pragma once

#include <string>
#include <vector>

#include "littlebit/bench/options.h"
#include "littlebit/core/error.h"

namespace littlebit {

// "name: what it measures", a line per case, for --help.
std::string bench_cases_help();

// Runs the named cases in the order of the table (none named: those that need no option), prints a
// table each, and writes bench.output (JSON) where it is set. `earlier`: such a file of another
// run, whose times and rates stand beside those of this one; empty: none. kBug where a case that
// compares found a difference. UsageError: an unknown case, a missing option. InputError: `earlier`
// cannot be read, or is none.
ExitCode run_bench(const BenchOptions& options, const std::vector<std::string>& names,
                   const std::filesystem::path& earlier = {});

}  // namespace littlebit
