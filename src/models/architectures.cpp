// The table of families. A new architecture: its file, a line in family.h, a row here, a fixture.
#include "littlebit/models/architectures.h"

#include <nlohmann/json.hpp>

#include "family.h"
#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"

namespace littlebit {
namespace {

constexpr Architecture kArchitectures[] = {
    {"llama", parse_llama, name_llama_slots},
    {"mistral", parse_mistral, name_llama_slots},
};

}  // namespace

std::span<const Architecture> architectures() { return kArchitectures; }

const Architecture& find_architecture(const std::string& model_type) {
  std::vector<std::string> names;
  for (const Architecture& architecture : kArchitectures) {
    if (model_type == architecture.model_type) return architecture;
    names.emplace_back(architecture.model_type);
  }
  throw InputError("config.json: model_type '" + model_type + "' is not supported",
                   "supported are " + join(names, ", "));
}

ModelSpec parse_model_spec(const Json& config) {
  ConfigReader reader(config, "");
  const std::string model_type = reader.text("model_type", "");
  if (model_type.empty()) reader.fail("model_type", "the name of an architecture");
  ModelSpec spec = find_architecture(model_type).parse(config);
  spec.model_type = model_type;
  return spec;
}

}  // namespace littlebit
