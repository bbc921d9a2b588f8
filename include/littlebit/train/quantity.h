// Amounts with units, as given on a command line.
#pragma once

#include <string>

namespace littlebit {

// "80GiB", "24 GB", "512MiB": bytes. UsageError naming `option` for anything else.
double parse_bytes(const std::string& text, const std::string& option);

// "400Gb/s", "25GB/s": bytes a second; b is a bit, B a byte.
double parse_bandwidth(const std::string& text, const std::string& option);

}  // namespace littlebit
