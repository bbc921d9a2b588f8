// Reads settings of config.json and remembers which were asked for, so that a setting that nobody
// read is not passed over without a word.
#include "config_reader.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "known_keys.h"
#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"

namespace littlebit {
namespace {

std::string shown(const Json& value) {
  std::string text = to_json_line(value);
  if (text.size() > 60) text.replace(57, std::string::npos, "...");
  return text;
}

std::string range_text(double low, double high) {
  return to_json_line(Json(low)) + " to " + to_json_line(Json(high));
}

}  // namespace

ConfigReader::ConfigReader(const Json& config, std::string path)
    : ConfigReader(config, std::move(path), std::make_shared<std::vector<std::string>>()) {}

ConfigReader::ConfigReader(const Json& config, std::string path,
                           std::shared_ptr<std::vector<std::string>> passed_over)
    : config_(config), path_(std::move(path)), passed_over_(std::move(passed_over)) {
  if (!config_.is_object()) {
    const std::string what = path_.empty() ? "it" : "'" + path_.substr(0, path_.size() - 1) + "'";
    throw InputError("config.json: " + what + " is not a JSON object");
  }
}

const Json* ConfigReader::find(const std::string& key) {
  read_.insert(key);
  const auto found = config_.find(key);
  return found == config_.end() || found->is_null() ? nullptr : &*found;
}

bool ConfigReader::present(const std::string& key) {
  read_.insert(key);
  return config_.contains(key);
}

bool ConfigReader::is_null(const std::string& key) {
  return present(key) && config_.at(key).is_null();
}

int64_t ConfigReader::integer(const std::string& key, int64_t fallback, int64_t low, int64_t high) {
  const Json* value = find(key);
  if (value == nullptr) return fallback;
  const bool fits = value->is_number_unsigned()
                        ? value->get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX)
                        : value->is_number_integer();
  if (!fits || value->get<int64_t>() < low || value->get<int64_t>() > high) {
    fail(key, "an integer from " + format_count(low) + " to " + format_count(high));
  }
  return value->get<int64_t>();
}

double ConfigReader::number(const std::string& key, double fallback, double low, double high) {
  const Json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_number() || !(value->get<double>() >= low && value->get<double>() <= high)) {
    fail(key, "a number from " + range_text(low, high));
  }
  return value->get<double>();
}

bool ConfigReader::flag(const std::string& key, bool fallback) {
  const Json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) fail(key, "true or false");
  return value->get<bool>();
}

std::string ConfigReader::text(const std::string& key, const std::string& fallback) {
  const Json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_string()) fail(key, "a text");
  return value->get<std::string>();
}

const Json* ConfigReader::object(const std::string& key) {
  const Json* value = find(key);
  if (value != nullptr && !value->is_object()) fail(key, "an object");
  return value;
}

const Json* ConfigReader::list(const std::string& key) {
  const Json* value = find(key);
  if (value != nullptr && !value->is_array()) fail(key, "a list");
  return value;
}

std::optional<ConfigReader> ConfigReader::part(const std::string& key) {
  const Json* value = object(key);
  if (value == nullptr) return std::nullopt;
  return ConfigReader(*value, path_ + key + ".", passed_over_);
}

bool ConfigReader::says_no_more_than(const ConfigReader& other) const {
  const auto spelled = [](const Json& object, const std::string& key) -> Json {
    for (const char* name : {"rope_type", "type"}) {
      if ((key == "rope_type" || key == "type") && object.contains(name)) return object.at(name);
    }
    if (key == "rope_type" || key == "type") return "default";
    return object.contains(key) ? object.at(key) : Json();
  };
  const auto said = [&](const auto& item) {
    return item.value().is_null() || item.value() == spelled(other.config_, item.key());
  };
  for (auto item = config_.begin(); item != config_.end(); ++item) {
    if (!said(item)) return false;
  }
  return true;
}

void ConfigReader::refuse_unread(const std::string& model_type) {
  std::vector<std::string> changing, reasons;
  for (const auto& [key, value] : config_.items()) {
    if (read_.count(key) != 0) continue;
    const KeyMeaning meaning = meaning_of(path_, key, config_);
    const std::string setting = "'" + path_ + key + "' = " + shown(value);
    switch (meaning.kind) {
      case KeyMeaning::Kind::kHarmless:
        break;
      case KeyMeaning::Kind::kUnknown:
        pass_over(setting);
        break;
      case KeyMeaning::Kind::kChanges:
        changing.push_back(setting);
        if (std::find(reasons.begin(), reasons.end(), meaning.what) == reasons.end()) {
          reasons.emplace_back(meaning.what);
        }
        break;
      case KeyMeaning::Kind::kQuantised:
        refuse_quantised(key);
    }
  }
  if (changing.empty()) return;
  throw InputError("config.json: not supported for model_type '" + model_type +
                       "': " + join(changing, ", ") + " (" + join(reasons, ", ") + ")",
                   "such a setting changes what a model computes, and is not implemented; "
                   "docs/models.md lists what is supported");
}

void ConfigReader::pass_over(const std::string& setting) {
  const auto known = std::find(passed_over_->begin(), passed_over_->end(), setting);
  if (known == passed_over_->end()) passed_over_->push_back(setting);
}

void ConfigReader::refuse_quantised(const std::string& key) const {
  const std::string how = quantisation_of(config_);
  throw InputError("config.json: '" + path_ + key + "': this model is already quantised" +
                       (how.empty() ? "" : " (" + how + ")") + "; take the original",
                   "training starts from weights in 16 or 32 bits: take the folder that this one "
                   "was made from");
}

void ConfigReader::finish(const std::string& model_type, ModelSpec& spec) {
  refuse_unread(model_type);
  spec.passed_over = *passed_over_;
}

void ConfigReader::fail(const std::string& key, const std::string& expected,
                        const std::string& hint) const {
  const auto found = config_.find(key);
  const std::string value = found == config_.end() ? "missing" : shown(*found);
  throw InputError("config.json: '" + path_ + key + "' is " + value + ", expected " + expected,
                   !hint.empty() ? hint
                                 : "take the config.json that came with the tensor files; nothing "
                                   "in it needs to be written by hand");
}

}  // namespace littlebit
