// What the small files of a tokenizer folder say: tokenizer_config.json, special_tokens_map.json,
// added_tokens.json.
//
// They are merged as transformers 4.51 does: added_tokens_decoder wins; only without it do the two
// other files count.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tokenizer/added_tokens.h"

namespace littlebit::tokenizer {

// The special tokens that have a role of their own, in transformers' order.
inline constexpr const char* kRoles[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                         "pad_token", "cls_token", "mask_token"};

// A special token as a file names it: a bare string, or with its settings.
struct NamedToken {
  AddedToken token;
  bool has_settings = false;
  bool unordered = false;  // of extra_special_tokens, whose order JSON does not keep
};

struct TokenizerConfig {
  std::string tokenizer_class;  // as written, without "Fast"; "" where nothing says
  std::optional<bool> add_bos_token, add_eos_token, add_prefix_space, legacy;
  bool add_prefix_space_is_null = false;  // written as null, which is not the same as missing
  bool split_special_tokens = false;
  bool json_says_all =
      false;  // written by transformers 5: its classes add nothing to tokenizer.json
  bool has_added_tokens_decoder = false;
  std::map<int32_t, AddedToken> added_tokens;

  // By role ("bos_token", ...). A role written as null is there with an empty content.
  std::map<std::string, NamedToken, std::less<>> special;
  std::vector<NamedToken> additional_special;
  std::vector<std::string> infilling;  // what CodeLlama's class adds to them

  std::vector<std::filesystem::path> files;  // those that were read

  // Settings of a role: the file's where it has some, else those of an added token of that content,
  // else `otherwise` as an unnormalised special token. Nothing where the role is null or
  // `otherwise` is empty.
  std::optional<AddedToken> role(std::string_view name, std::string_view otherwise) const;
};

// A folder without any of the files gives an empty config. InputError where a file is not
// understood.
TokenizerConfig read_tokenizer_config(const std::filesystem::path& folder);

AddedToken read_added_token(const nlohmann::json& value, const std::string& where);

}  // namespace littlebit::tokenizer
