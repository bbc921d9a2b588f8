// Tokens back to text: the decoders of tokenizer.json. Each follows the decoder of that name in
// Hugging Face tokenizers 0.21. Immutable; safe for several threads.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace littlebit::tokenizer {

class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual void apply(std::vector<std::string>& tokens) const = 0;
};

// From the "decoder" value; nullptr for null. InputError where it is not understood.
std::unique_ptr<Decoder> read_decoder(const nlohmann::json& value, const std::string& where);

}  // namespace littlebit::tokenizer
