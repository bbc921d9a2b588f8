// Content hashes: XXH3-128 (libxxhash), written as 32 lower-case hex digits. Not cryptographic:
// they distinguish versions of a file and detect damage, but do not resist an attacker.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace littlebit {

// Streaming form. Same digest as one call over the concatenation.
class Hasher {
 public:
  Hasher();
  Hasher(Hasher&&) noexcept;
  ~Hasher();
  void update(std::span<const std::byte> bytes);
  void update(std::string_view text) { update(std::as_bytes(std::span(text))); }
  std::string hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string content_hash(std::span<const std::byte> bytes);
std::string content_hash(std::string_view text);
// Of a mapped file, of which 4 MiB are in memory at a time. InputError as MappedFile.
std::string file_hash(const std::filesystem::path& path);

}  // namespace littlebit
