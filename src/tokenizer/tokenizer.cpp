// Whether a tokenizer belongs to a model. A tokenizer may know fewer ids than the model
// (vocabularies are padded), never more.
#include "littlebit/tokenizer/tokenizer.h"

#include "littlebit/core/error.h"

namespace littlebit {

void check_vocabulary(const Tokenizer& tokenizer, int64_t vocab_size) {
  if (tokenizer.plain_vocab_size() <= vocab_size) return;
  throw UsageError("the tokenizer has " + std::to_string(tokenizer.plain_vocab_size()) +
                       " ids, the model's vocabulary " + std::to_string(vocab_size) + ": " +
                       tokenizer.description(),
                   "the tokenizer does not belong to this model: take the tokenizer files that "
                   "came with it");
}

}  // namespace littlebit
