#include "littlebit/commands/read_options.h"

#include <nlohmann/json.hpp>

#include "littlebit/io/json.h"

namespace littlebit {

void read_options(OptionTree& tree, const std::filesystem::path& config,
                  const std::vector<std::string>& overrides) {
  if (!config.empty()) tree.load_yaml(config);
  for (const std::string& each : overrides) tree.set(each);
}

// JSON's strings are YAML's.
std::string quoted_override(const std::string& key, const std::string& value) {
  return key + "=" + to_json_line(Json(value));
}

std::string quoted_override(const std::string& key, const std::vector<std::string>& values) {
  return key + "=" + to_json_line(Json(values));
}

}  // namespace littlebit
