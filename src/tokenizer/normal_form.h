// Unicode normal forms NFC, NFD, NFKC, NFKD of Unicode 9.0, the version of Rust's
// unicode-normalization-alignments, which Hugging Face tokenizers uses. Characters that came later
// stay as they are. Linear in the text's length, save for the sorting of long runs of combining
// marks.
#pragma once

#include <string>
#include <string_view>

namespace littlebit::tokenizer {

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };

std::string normal_form(NormalForm form, std::string_view text);

}  // namespace littlebit::tokenizer
