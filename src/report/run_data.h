// What the report knows about a run: the files of its folder, read leniently.
//
// Invariant: reading never fails. A file that is not there leaves its part empty; damaged
// data is skipped and mentioned in `notes`.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "littlebit/io/json.h"

namespace littlebit {

// metrics.jsonl by column, in the order of steps; NaN where a line has no number for the key.
struct MetricColumns {
  std::vector<double> step;
  std::vector<double> loss, loss_kl, loss_hidden, learning_rate, grad_norm, sign_flip_fraction,
      tokens_per_second, product_share;
  std::map<std::string, std::vector<double>> part_seconds;  // by the part of a step
};

// Counts are double here and below: NaN where missing, and no file can overflow them.
struct ReportLayer {
  std::string name, kind;  // kind: the name's last part
  double d_out, d_in, rank, paths, bits, relative_error, seconds;
  bool at_floor, at_cap;
};

struct ReportScore {
  std::string task, model, protocol;
  std::string metric;                 // the task's main one: "perplexity", "acc"
  std::string unit;                   // of `amount`: "tokens", "documents"
  double step, value, error, amount;  // error: the value's standard error
};

struct ReportOption {
  std::string key, value, origin;  // "optim.beta1", "0.9", "default"
};

struct ReportData {
  Json run = Json::object();
  std::vector<ReportScore> scores;  // of `run`
  MetricColumns metrics;
  std::vector<ReportLayer> layers;
  std::vector<ReportOption> options;
  std::string config_text;         // the whole of config.yaml where it is not as we write it
  std::vector<std::string> notes;  // what could not be read
};

ReportData read_report_data(const std::filesystem::path& run_folder);

// Members of what may be no object or hold another type: null, NaN, "".
const Json& member_of(const Json& object, const char* key);
double number_of(const Json& object, const char* key);
std::string text_of(const Json& object, const char* key);

}  // namespace littlebit
