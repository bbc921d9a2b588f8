// Decodes the last ids again with each new one and gives out what was added, once it does not end
// in an unfinished character.
#include "littlebit/tokenizer/decode_stream.h"

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"

namespace littlebit {

std::string DecodeStream::step(int32_t id) {
  ids_.push_back(id);
  std::string text = tokenizer_.decode(ids_);
  // U+FFFD at the end: bytes of a character whose others may come with the next id.
  if (text.size() <= shown_text_.size() || text.ends_with(kReplacement)) return "";
  if (!text.starts_with(shown_text_))
    throw InputError("token " + std::to_string(id) + " changes text that was already given out",
                     "decode the ids as a whole");
  std::string added = text.substr(shown_text_.size());
  // Keep the ids since the last piece: what comes next is decoded after them, as in the whole text.
  size_t kept = ids_.size() - shown_;
  ids_.erase(ids_.begin(), ids_.begin() + static_cast<ptrdiff_t>(shown_));
  shown_text_ = tokenizer_.decode(ids_);
  shown_ = kept;
  return added;
}

}  // namespace littlebit
