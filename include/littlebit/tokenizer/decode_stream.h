// Text of ids that arrive one by one, for generation: each piece is given out as soon as it can no
// longer change.
//
// The pieces joined are the text of decode(), but for what is held back: an unfinished character at
// the end. As Hugging Face's DecodeStream. Not thread-safe; the tokenizer outlives the stream.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "littlebit/tokenizer/tokenizer.h"

namespace littlebit {

class DecodeStream {
 public:
  explicit DecodeStream(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  // What `id` adds to the text; "" while a character is unfinished. InputError as decode().
  std::string step(int32_t id);

 private:
  const Tokenizer& tokenizer_;
  std::vector<int32_t> ids_;  // enough of the past to decode the next id as the whole text would
  size_t shown_ = 0;          // ids whose text was given out
  std::string shown_text_;    // the text of ids_ that was given out
};

}  // namespace littlebit
