// What a tokenizer puts around the ids of a text: the post-processor of a tokenizer.json, for
// single texts.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace littlebit::tokenizer {

struct PostProcessor {
  struct Part {
    bool is_text = false;      // the ids of the text
    std::vector<int32_t> ids;  // else these, where special tokens are wanted
  };
  std::vector<Part> parts = {{.is_text = true, .ids = {}}};

  std::vector<int32_t> apply(std::vector<int32_t> text, bool add_special_tokens) const;
};

// From the "post_processor" value; null gives the text alone. InputError where it is not
// understood.
PostProcessor read_post_processor(const nlohmann::json& value, const std::string& where);

// `before` the text, `after` it.
PostProcessor surround(std::vector<int32_t> before, std::vector<int32_t> after);

}  // namespace littlebit::tokenizer
