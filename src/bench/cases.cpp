// The one table of cases, and how a row becomes the cells of a table.
#include "cases.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "littlebit/core/strings.h"

namespace littlebit {
namespace {

using enum CellFormat;

const std::vector<Column> kStepColumns = {
    {"bits", "bits", kNumber},
    {"blocks", "blocks", kCount},
    {"batch", "batch"},
    {"s", "seconds", kNumber},
    {"tokens/s", "tokens_per_second", kCount},
    {"peak memory", "peak_bytes", kBytes},
    {"products alone, s", "product_seconds", kNumber},
    {"share", "share", kPercent},
    {"teacher, s", "teacher", kNumber},
    {"student forward, s", "student forward", kNumber},
    {"loss, s", "loss", kNumber},
    {"recompute + backward, s", "recompute and backward", kNumber},
    {"optimizer, s", "optimizer", kNumber}};

const BenchCase kCases[] = {
    {"machine",
     "matrix products and memory bandwidth of this machine, nothing of ours",
     true,
     measure_machine,
     {{"rows",
       "What the machine gives",
       {{"what", "what"}, {"rate", "rate", kFixed1}, {"unit", "unit"}}}}},
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
     "logits of the models below case.golden in fp32 and bf16 against what is recorded",
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
        {"ours, ms", "seconds", kMilliseconds},
        {"plain ATen, ms", "plain_seconds", kMilliseconds},
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
        {"ms", "seconds", kMilliseconds},
        {"GFLOP/s", "gflops", kFixed1},
        {"GB/s", "gbytes", kFixed1}}}}},
    {"layers",
     "one packed linear layer against a dense one, by rows of activations",
     true,
     measure_layers,
     {{"rows",
       "Packed layers",
       {{"out x in", "shape"},
        {"bits", "bits", kNumber},
        {"rows", "rows", kCount},
        {"dense, ms", "dense_seconds", kMilliseconds},
        {"packed, ms", "packed_seconds", kMilliseconds},
        {"packed is faster by", "ratio", kFixed2}}}}},
    {"step",
     "training steps of a made Llama (case.step), beside the time of their products alone",
     true,
     measure_step,
     {{"rows", "Training step", kStepColumns},
      {"extrapolated",
       "Extrapolated: seconds = fixed + blocks x per block, from the two smallest numbers of "
       "blocks",
       {{"bits", "bits", kNumber},
        {"batch", "batch"},
        {"fixed, s", "fixed", kNumber},
        {"per block, s", "per_block", kNumber},
        {"blocks", "blocks", kCount},
        {"s", "seconds", kNumber},
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
        {"s", "seconds", kNumber},
        {"tokens/s", "tokens_per_second", kCount},
        {"peak memory", "peak_bytes", kBytes},
        {"products alone, s", "product_seconds", kNumber},
        {"share", "share", kPercent}}}}},
    {"generate",
     "tokens one by one from packed models against the dense one",
     true,
     measure_generation,
     {{"rows",
       "Generation",
       {{"model", "model"},
        {"blocks", "blocks", kCount},
        {"tokens/s", "tokens_per_second", kFixed1},
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
        {"s", "seconds", kNumber},
        {"CPU s", "cpu_seconds", kNumber},
        {"truncation error", "truncation_error", kNumber},
        {"Dual-SVID error", "dual_svid_error", kNumber}}}}},
    {"tokenizer",
     "speed of case.tokenizer on case.text, whole and cut at WikiText headings",
     false,
     measure_tokenizer,
     {{"rows",
       "Tokenizer",
       {{"tokenizer", "tokenizer"},
        {"load, s", "load_seconds", kNumber},
        {"whole, MB/s", "whole_mb_per_s", kFixed1},
        {"documents, MB/s", "documents_mb_per_s", kFixed1},
        {"threads", "threads", kCount},
        {"documents on threads, MB/s", "documents_threads_mb_per_s", kFixed1}}}}},
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

bool all_ok(const Json& result) {
  for (const Json& row : result.value("rows", Json::array())) {
    if (!row.value("ok", true)) return false;
  }
  return true;
}

}  // namespace littlebit
