// From texts to ids: where a context ends and its continuation begins, and what does not fit.
#include "littlebit/eval/choice_requests.h"

#include <algorithm>
#include <mutex>

#include "littlebit/core/error.h"
#include "littlebit/core/parallel.h"
#include "littlebit/core/strings.h"
#include "littlebit/eval/choice_documents.h"
#include "littlebit/logging/progress.h"
#include "littlebit/tokenizer/python_text.h"

namespace littlebit {
namespace {

ChoiceRequest request_of(TokenPair pair, int64_t max_length) {
  const int64_t scored = static_cast<int64_t>(pair.continuation.size());
  if (scored > max_length) {
    throw InputError("a continuation of " + format_count(scored) + " tokens is more than the " +
                         format_count(max_length) + " a sequence may have",
                     "increase eval.sequence_length (--seqlen), or leave it out");
  }
  // A sequence of max_length ids predicts as many: the last id of the request is not run, hence the
  // one more. What does not fit is cut off the context's beginning.
  const int64_t room = max_length + 1 - scored, context = static_cast<int64_t>(pair.context.size());
  ChoiceRequest request{.ids = std::move(pair.context), .scored = scored};
  if (context > room)
    request.ids.erase(request.ids.begin(), request.ids.begin() + (context - room));
  request.ids.insert(request.ids.end(), pair.continuation.begin(), pair.continuation.end());
  return request;
}

}  // namespace

TokenPair encode_pair(const Tokenizer& tokenizer, std::string_view context,
                      std::string_view continuation, bool add_special_tokens) {
  TokenPair pair;
  if (context.empty()) {
    // Something must predict the first token.
    const std::optional<int32_t> first =
        tokenizer.bos_id() ? tokenizer.bos_id() : tokenizer.eos_id();
    if (!first) {
      throw InputError("the context is empty, and the tokenizer names neither BOS nor EOS");
    }
    pair = {{*first}, tokenizer.encode(continuation, add_special_tokens)};
  } else {
    // The harness moves white space at the end of the context to the continuation, since tokenizers
    // join a space to the word behind it. The continuation's ids are then those that the whole text
    // has beyond the context's.
    const std::string_view bare = python_rstrip(context);
    pair.context = tokenizer.encode(bare, add_special_tokens);
    const std::vector<int32_t> whole =
        tokenizer.encode(std::string(context) + std::string(continuation), add_special_tokens);
    if (whole.size() > pair.context.size()) {
      pair.continuation.assign(whole.begin() + static_cast<ptrdiff_t>(pair.context.size()),
                               whole.end());
    }
  }
  if (pair.context.empty()) throw InputError("the context is nothing but white space");
  if (pair.continuation.empty()) {
    throw InputError("the continuation adds no token to its context: \"" +
                     std::string(continuation) + "\"");
  }
  return pair;
}

bool harness_adds_special_tokens(const ModelSpec& spec) {
  return spec.model_type.find("gemma") != std::string::npos;
}

std::vector<EncodedDocument> encode_documents(std::span<const ChoiceDocument> documents,
                                              const Tokenizer& tokenizer, bool add_special_tokens,
                                              int64_t max_length, const std::string& what) {
  const int64_t total = static_cast<int64_t>(documents.size());
  std::vector<EncodedDocument> encoded(documents.size());
  Progress progress(what + ": tokenising", total, "documents");
  std::mutex mutex;
  int64_t done = 0;
  parallel_for(total, hardware_threads(), [&](int64_t i) {
    const ChoiceDocument& document = documents[i];
    try {
      encoded[i].gold = document.gold;
      for (const Choice& choice : document.choices) {
        TokenPair pair =
            encode_pair(tokenizer, choice.context, choice.continuation, add_special_tokens);
        const size_t size = pair.context.size() + pair.continuation.size();
        encoded[i].choices.push_back(request_of(std::move(pair), max_length));
        encoded[i].cut |= encoded[i].choices.back().ids.size() < size;
        encoded[i].lengths.push_back(choice.length);
      }
    } catch (const InputError& error) {
      throw InputError(document.place + ": " + error.what(), error.hint());
    }
    const std::lock_guard lock(mutex);
    progress.update(++done);
  });
  return encoded;
}

}  // namespace littlebit
