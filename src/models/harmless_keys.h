// Keys of config.json that have no effect, whatever their value.
#pragma once

#include <string>

#include "littlebit/io/json.h"

namespace littlebit {

// Whether no value of the key can change logits or gradients of any family.
bool is_harmless_key(const std::string& key);

// Whether `key` of `owner` is another spelling of a key beside it that is read, and says the same.
bool says_what_is_read(const std::string& key, const Json& owner);

}  // namespace littlebit
