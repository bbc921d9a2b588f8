// What the keys of config.json mean that no family reads: nothing for the numbers, another model
// than the one that would be computed, or something that is not known here.
#pragma once

#include <string>

#include "littlebit/io/json.h"

namespace littlebit {

struct KeyMeaning {
  enum class Kind { kHarmless, kUnknown, kChanges, kQuantised };
  Kind kind = Kind::kUnknown;
  const char* what = "";  // kChanges: what it asks for
};

// Of `key` in the object `owner`, which lies at `path` ("", "text_config.", "rope_scaling.") of
// config.json. A value that leaves the decoder as it is makes any key harmless.
KeyMeaning meaning_of(const std::string& path, const std::string& key, const Json& owner);

// "awq, 4 bits", as far as config.json says how the model was quantised; "" where it does not.
std::string quantisation_of(const Json& config);

}  // namespace littlebit
