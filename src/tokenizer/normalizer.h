// What happens to a text before it is split: the normalizers of tokenizer.json.
//
// Each follows the normalizer of that name in Hugging Face tokenizers 0.21. Immutable; safe for
// several threads.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace littlebit::tokenizer {

class Normalizer {
 public:
  virtual ~Normalizer() = default;

  // Rewrites `text`. False where characters were taken away from the front: what then stands first
  // was not first in the original (Metaspace with `prepend_scheme: first` asks).
  virtual bool apply(std::string& text) const = 0;
};

// From the "normalizer" object of a tokenizer.json; nullptr for null. InputError where it is not
// understood.
std::unique_ptr<Normalizer> read_normalizer(const nlohmann::json& value, const std::string& where);

}  // namespace littlebit::tokenizer
