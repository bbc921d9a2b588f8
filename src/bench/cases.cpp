// The one table of cases, and how a row becomes the cells of a table.
#include "cases.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "littlebit/core/strings.h"

namespace littlebit {
namespace {

using enum CellFormat;
using enum Role;

const std::vector<Column> kStepColumns = {
    {"bits", "bits", kNumber},
    {"blocks", "blocks", kCount},
    {"batch", "batch"},
    {"levers", "levers"},
    {"s", "seconds", kNumber, kTime},
    {"tokens/s", "tokens_per_second", kCount},
    {"peak memory", "peak_bytes", kBytes},
    {"products alone, s", "product_seconds", kNumber, kTime},
    {"share", "share", kPercent},
    {"teacher, s", "teacher", kNumber, kTime},
    {"student forward, s", "student forward", kNumber, kTime},
    {"loss, s", "loss", kNumber, kTime},
    {"recompute + backward, s", "recompute and backward", kNumber, kTime},
    {"optimizer, s", "optimizer", kNumber, kTime}};

const BenchCase kCases[] = {
    {"machine",
     "matrix products and memory bandwidth of this machine, without our code",
     true,
     measure_machine,
     {{"rows",
       "Limits of the machine",
       {{"what", "what"}, {"rate", "rate", kFixed1, kRate}, {"unit", "unit"}}}}},
    {"self-test",
     "`littlebit-train --self-test`, fp32 and bf16: kernels and one step against fp64",
     false,
     compare_self_test,
     {{"rows",
       "Self-test",
       {{"dtype", "dtype"},
        {"check", "check"},
        {"difference", "difference", kNumber},
        {"allowed", "allowed", kNumber},
        {"", "verdict"}}}}},
    {"golden",
     "logits of the models below case.golden in fp32 and bf16 against recorded ones",
     false,
     compare_golden,
     {{"rows",
       "Recorded logits",
       {{"model", "model"},
        {"dtype", "dtype"},
        {"difference", "difference", kNumber},
        {"allowed", "allowed", kNumber},
        {"", "verdict"}}}}},
    {"signs",
     "expansion of sign bits to matrices, and signs of latents to bits",
     true,
     measure_signs,
     {{"rows",
       "Sign kernels",
       {{"kernel", "kernel"},
        {"type", "dtype"},
        {"ours, ms", "seconds", kMilliseconds, kTime},
        {"plain ATen, ms", "plain_seconds", kMilliseconds, kTime},
        {"limit, ms", "limit_seconds", kMilliseconds},
        {"share of bandwidth", "share", kPercent}}}}},
    {"operations",
     "every operation of room ops on its large cases",
     false,
     measure_operations,
     {{"rows",
       "Operations",
       {{"operation", "operation"},
        {"shape", "shape"},
        {"type", "dtype"},
        {"ours, ms", "seconds", kMilliseconds, kTime},
        {"plain ATen, ms", "plain_seconds", kMilliseconds, kTime},
        {"limit, ms", "limit_seconds", kMilliseconds},
        {"share of limit", "share", kPercent},
        {"GFLOP/s", "gflops", kFixed1},
        {"GB/s", "gbytes", kFixed1},
        {"difference", "difference", kNumber},
        {"allowed", "allowed", kNumber},
        {"", "verdict"}}}}},
    {"layers",
     "one packed linear layer against a dense one, by rows of activations",
     true,
     measure_layers,
     {{"rows",
       "Packed layers",
       {{"out x in", "shape"},
        {"bits", "bits", kNumber},
        {"rows", "rows", kCount},
        {"dense, ms", "dense_seconds", kMilliseconds, kTime},
        {"packed, ms", "packed_seconds", kMilliseconds, kTime},
        {"limit, ms", "limit_seconds", kMilliseconds},
        {"packed is faster by", "ratio", kFixed2}}}}},
    {"step",
     "training steps of a synthetic Llama (case.step), next to the time of their products alone",
     true,
     measure_step,
     {{"rows", "Training step", kStepColumns},
      {"extrapolated",
       "Extrapolated: seconds = fixed + blocks x per block, from the two smallest numbers of "
       "blocks",
       {{"bits", "bits", kNumber},
        {"batch", "batch"},
        {"levers", "levers"},
        {"fixed, s", "fixed", kNumber, kTime},
        {"per block, s", "per_block", kNumber, kTime},
        {"blocks", "blocks", kCount},
        {"s", "seconds", kNumber, kTime},
        {"tokens/s", "tokens_per_second", kCount},
        {"measured, s", "measured", kNumber},
        {"peak memory", "peak_bytes", kBytes},
        {"measured", "measured_bytes", kBytes}}}}},
    {"dense",
     "forward and backward of the same Llama with plain matrices (case.dense)",
     true,
     measure_dense,
     {{"rows",
       "Dense forward and backward",
       {{"blocks", "blocks", kCount},
        {"batch", "batch"},
        {"s", "seconds", kNumber, kTime},
        {"tokens/s", "tokens_per_second", kCount},
        {"peak memory", "peak_bytes", kBytes},
        {"products alone, s", "product_seconds", kNumber, kTime},
        {"share", "share", kPercent}}}}},
    {"generate",
     "tokens one by one from packed models against the dense one",
     true,
     measure_generation,
     {{"rows",
       "Generation",
       {{"model", "model"},
        {"blocks", "blocks", kCount},
        {"tokens/s", "tokens_per_second", kFixed1, kRate},
        {"limit, tokens/s", "limit_tokens_per_second", kFixed1},
        {"memory", "bytes", kBytes},
        {"times dense", "ratio", kFixed2}}}}},
    {"svd",
     "randomised SVD and Dual-SVID of matrices",
     true,
     measure_svd,
     {{"rows",
       "Randomised SVD",
       {{"shape", "shape"},
        {"rank", "rank", kCount},
        {"matrices", "matrices", kCount},
        {"s", "seconds", kNumber, kTime},
        {"CPU s", "cpu_seconds", kNumber, kTime},
        {"truncation error", "truncation_error", kNumber},
        {"Dual-SVID error", "dual_svid_error", kNumber}}}}},
    {"tokenizer",
     "speed of case.tokenizer on case.text, whole and cut at WikiText headings",
     false,
     measure_tokenizer,
     {{"rows",
       "Tokenizer",
       {{"tokenizer", "tokenizer"},
        {"load, s", "load_seconds", kNumber, kTime},
        {"whole, MB/s", "whole_mb_per_s", kFixed1, kRate},
        {"documents, MB/s", "documents_mb_per_s", kFixed1, kRate},
        {"threads", "threads", kCount},
        {"documents on threads, MB/s", "documents_threads_mb_per_s", kFixed1, kRate}}}}},
};

std::string cell(const Json& value, CellFormat format) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_number()) return "";
  const auto number = value.get<double>();
  switch (format) {
    case kCount:
      return format_count(std::llround(number));
    case kFixed1:
      return format_fixed(number, 1);
    case kFixed2:
      return format_fixed(number, 2);
    case kPercent:
      return format_fixed(number * 100, 1) + " %";
    case kBytes:
      return format_bytes(static_cast<uint64_t>(std::max(number, 0.0)));
    case kMilliseconds:
      return format_digits(number * 1e3, 4);
    default:
      return format_digits(number, 4);
  }
}

}  // namespace

std::span<const BenchCase> bench_cases() { return kCases; }

const BenchCase* find_case(const std::string& name) {
  for (const BenchCase& each : kCases) {
    if (name == each.name) return &each;
  }
  return nullptr;
}

Table show(const CaseTable& table, const Json& result) {
  std::vector<std::string> header;
  for (const Column& column : table.columns) header.emplace_back(column.header);
  Table shown(std::move(header));
  for (const Json& row : result.value(table.key, Json::array())) {
    std::vector<std::string> cells;
    for (const Column& column : table.columns) {
      cells.push_back(cell(row.value(column.key, Json()), column.format));
    }
    shown.add(std::move(cells));
  }
  return shown;
}

std::optional<Table> compare(const CaseTable& table, const Json& earlier, const Json& result) {
  const auto first = std::find_if(table.columns.begin(), table.columns.end(),
                                  [](const Column& column) { return column.role != kOther; });
  const std::vector<Column> names(table.columns.begin(), first);
  const auto names_of = [&](const Json& row) {
    std::vector<std::string> cells;
    for (const Column& name : names)
      cells.push_back(cell(row.value(name.key, Json()), name.format));
    return cells;
  };
  bool is_empty = true;
  std::map<std::vector<std::string>, const Json*> before;
  const Json none = Json::array();
  const Json& earlier_rows = earlier.contains(table.key) ? earlier.at(table.key) : none;
  for (const Json& row : earlier_rows) before[names_of(row)] = &row;

  std::vector<std::string> header;
  for (const Column& name : names) header.emplace_back(name.header);
  for (const char* each : {"what", "before", "now", "times as fast"}) header.emplace_back(each);
  Table shown(std::move(header));
  for (const Json& row : result.value(table.key, Json::array())) {
    const auto found = before.find(names_of(row));
    if (found == before.end()) continue;
    for (auto column = first; column != table.columns.end(); ++column) {
      const Json was = found->second->value(column->key, Json()),
                 is = row.value(column->key, Json());
      if (column->role == kOther || !was.is_number() || !is.is_number()) continue;
      const double ratio = column->role == kTime ? was.get<double>() / is.get<double>()
                                                 : is.get<double>() / was.get<double>();
      std::vector<std::string> cells = found->first;
      for (std::string text : {std::string(column->header), cell(was, column->format),
                               cell(is, column->format), format_fixed(ratio, 2)}) {
        cells.push_back(std::move(text));
      }
      shown.add(std::move(cells));
      is_empty = false;
    }
  }
  return is_empty ? std::nullopt : std::optional(std::move(shown));
}

bool all_ok(const Json& result) {
  for (const Json& row : result.value("rows", Json::array())) {
    if (!row.value("ok", true)) return false;
  }
  return true;
}

}  // namespace littlebit
