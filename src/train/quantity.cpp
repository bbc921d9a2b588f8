// A number, a prefix of tens or of twos, a unit.
#include "littlebit/train/quantity.h"

#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>

#include "littlebit/core/error.h"

namespace littlebit {
namespace {

// What `text` is in units of `unit`, which it must end in; nullopt where it is not an amount.
std::optional<double> parse_amount(std::string_view text, std::string_view unit) {
  double amount = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), amount);
  if (error != std::errc() || !std::isfinite(amount) || amount <= 0) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  while (text.starts_with(' ')) text.remove_prefix(1);
  if (!text.ends_with(unit)) return std::nullopt;
  text.remove_suffix(unit.size());
  if (text.empty()) return amount;
  constexpr std::string_view kPrefixes = "KMGTP";
  const size_t power = kPrefixes.find(text[0] == 'k' ? 'K' : text[0]);
  const bool of_twos = text.size() == 2 && text[1] == 'i';
  if (power == std::string_view::npos || (text.size() > 1 && !of_twos)) return std::nullopt;
  return amount * std::pow(of_twos ? 1024.0 : 1000.0, static_cast<double>(power + 1));
}

[[noreturn]] void refuse(const std::string& text, const std::string& option, const char* hint) {
  throw UsageError(option + " was given \"" + text + "\"", hint);
}

}  // namespace

double parse_bytes(const std::string& text, const std::string& option) {
  if (const auto bytes = parse_amount(text, "B")) return *bytes;
  refuse(text, option, "an amount of bytes: 80GiB, 24GB, 512MiB");
}

double parse_bandwidth(const std::string& text, const std::string& option) {
  if (const auto bytes = parse_amount(text, "B/s")) return *bytes;
  if (const auto bits = parse_amount(text, "b/s")) return *bits / 8;
  refuse(text, option, "bits or bytes a second: 400Gb/s, 25GB/s");
}

}  // namespace littlebit
