// The keys of config.json that may hold anything: they do not change what a decoder computes from
// its inputs.
#pragma once

#include <string>

namespace littlebit {

// Why `key` may be ignored; nullptr where it may not.
const char* harmless_reason(const std::string& key);

}  // namespace littlebit
