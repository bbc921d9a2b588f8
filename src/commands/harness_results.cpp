// The harness's keys: results.TASK."METRIC,FILTER", n-shot, n-samples, max_length.
#include "harness_results.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace littlebit {
namespace {

constexpr char kMark[] = "harness", kUsualFilter[] = ",none";
constexpr std::string_view kProtocol = "lm_eval";

// The member at the end of `path`; null where there is none.
const Json& member(const Json& object, const std::vector<std::string>& path) {
  static const Json none;
  const Json* value = &object;
  for (const std::string& name : path) {
    if (!value->is_object()) return none;
    const auto found = value->find(name);
    if (found == value->end()) return none;
    value = &*found;
  }
  return *value;
}

std::string protocol_of(const Json& file, const std::string& task) {
  const Json &version = member(file, {"lm_eval_version"}), &shots = member(file, {"n-shot", task});
  std::string protocol(kProtocol);
  if (version.is_string()) protocol += "_" + version.get<std::string>();
  if (shots.is_number_integer() && shots.get<int64_t>() > 0) {
    protocol += "@" + std::to_string(shots.get<int64_t>()) + "shot";
  }
  return protocol;
}

}  // namespace

bool is_harness_file(const Json& file) {
  if (!file.is_object() || file.contains("tasks") || !member(file, {"results"}).is_object()) {
    return false;
  }
  return file.contains("versions") || file.contains("n-shot") || file.contains("configs");
}

Json from_harness(const Json& file) {
  Json tasks = Json::object();
  for (const auto& [name, values] : file.at("results").items()) {
    if (!values.is_object()) continue;
    Json task = {{kMark, true}, {"protocol", protocol_of(file, name)}};
    const Json& documents = member(file, {"n-samples", name, "effective"});
    if (documents.is_number()) task["documents"] = documents;
    for (const auto& [key, value] : values.items()) {
      const bool usual = key.ends_with(kUsualFilter);
      if (value.is_number()) {
        task[usual ? key.substr(0, key.size() - std::size(kUsualFilter) + 1) : key] = value;
      }
    }
    const Json& length = member(file, {"max_length"});
    const bool rolling = name == "wikitext" && length.is_number_integer();
    if (rolling) task["protocol"] = "rolling@" + std::to_string(length.get<int64_t>());
    tasks[rolling ? "rolling" : name] = std::move(task);
  }
  return {{"tasks", std::move(tasks)}};
}

bool same_protocol(std::string_view a, std::string_view b) {
  const auto version_end = [](std::string_view name) {
    return name.starts_with(kProtocol) ? std::min(name.find_first_of("@+("), name.size()) : 0;
  };
  const size_t a_end = version_end(a), b_end = version_end(b);
  const bool unversioned = a.substr(0, a_end) == kProtocol || b.substr(0, b_end) == kProtocol;
  if (a_end == 0 || b_end == 0 || !unversioned) return a == b;
  return a.substr(a_end) == b.substr(b_end);
}

bool is_harness_metric(const Json& task, std::string_view name) {
  return task.contains(kMark) && name != "documents" && name.find("_stderr") == std::string::npos;
}

}  // namespace littlebit
