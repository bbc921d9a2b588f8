// The table of cases: each runs, gives its rows as JSON, and says how they are shown. A new case is
// a file with a function, a line below and a row in cases.cpp.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "littlebit/bench/options.h"
#include "littlebit/device/device_timer.h"
#include "littlebit/device/memory.h"
#include "littlebit/distill/step_products.h"
#include "littlebit/io/json.h"
#include "littlebit/logging/table.h"

namespace littlebit {

// What every case is given.
struct BenchSetup {
  const BenchOptions& options;
  DeviceTimer timer;
  at::ScalarType dtype;  // of the made stack

  at::Device device() const { return timer.device(); }
};

enum class CellFormat { kText, kCount, kNumber, kFixed1, kFixed2, kPercent, kBytes, kMilliseconds };

// What a column is to a comparison with earlier results: columns that name a row come before its
// first time or rate.
enum class Role { kOther, kTime, kRate };

struct Column {
  const char* header;
  const char* key;  // in the row; an absent value gives an empty cell
  CellFormat format = CellFormat::kText;
  Role role = Role::kOther;
};

// One table: the rows `result[key]`.
struct CaseTable {
  const char* key;
  const char* title;
  std::vector<Column> columns;
};

struct BenchCase {
  const char* name;
  const char* help;
  bool by_default;  // runs where no case is named: needs no option
  Json (*run)(const BenchSetup& setup);
  std::vector<CaseTable> tables;
};

std::span<const BenchCase> bench_cases();
const BenchCase* find_case(const std::string& name);  // nullptr: there is none

// Of one table of a case's result; no rows: an empty table.
Table show(const CaseTable& table, const Json& result);

// Times and rates of `result` beside those of `earlier`, of rows that both have; nothing where they
// have none in common.
std::optional<Table> compare(const CaseTable& table, const Json& earlier, const Json& result);

// What this machine gives, as `machine` measures it.
struct MachineLimits {
  double fp32_flops, bf16_flops;  // of a large product, per second
  double bandwidth;               // bytes read and written by a copy, per second

  // Seconds that so much arithmetic, or so many bytes, take at the least.
  double seconds(double flops, double bytes, at::ScalarType dtype) const;
};
MachineLimits measure_limits(const BenchSetup& setup);

// Whether every row that was compared (has "ok") agreed.
bool all_ok(const Json& result);
const char* verdict(bool ok);

Json measure_machine(const BenchSetup& setup);
Json measure_signs(const BenchSetup& setup);
Json measure_operations(const BenchSetup& setup);
Json measure_layers(const BenchSetup& setup);
Json measure_step(const BenchSetup& setup);
Json measure_dense(const BenchSetup& setup);
Json measure_generation(const BenchSetup& setup);
Json measure_svd(const BenchSetup& setup);
Json measure_tokenizer(const BenchSetup& setup);
Json compare_golden(const BenchSetup& setup);
Json compare_self_test(const BenchSetup& setup);

}  // namespace littlebit
