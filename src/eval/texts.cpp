// Texts of the perplexity protocols as token ids.
#include "littlebit/core/error.h"
#include "littlebit/data/corpus.h"
#include "littlebit/eval/perplexity.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

std::vector<int32_t> document_ids(const fs::path& file, SourceFormat format,
                                  const Tokenizer& tokenizer) {
  std::vector<int32_t> ids;
  for_each_document({.path = file, .format = format}, [&](std::string_view text) {
    ids = tokenizer.encode(text, /*add_special_tokens=*/true);
  });
  return ids;
}

}  // namespace

std::vector<int32_t> wikitext2_ids(const fs::path& data_root, const Tokenizer& tokenizer) {
  const fs::path places[] = {data_root / "wikitext2" / "wiki.test.raw",
                             data_root / "wiki.test.raw"};
  for (const fs::path& place : places) {
    std::error_code ignored;
    if (fs::exists(place, ignored)) {
      return document_ids(place, SourceFormat::kWikitext, tokenizer);
    }
  }
  throw InputError(
      "task wikitext2: its text is neither " + places[0].string() + " nor " + places[1].string(),
      "set eval.data_root (--data-root) to the folder that holds it; the file is "
      "WikiText-2 raw's test split (wikitext-2-raw-v1 on the Hugging Face Hub)");
}

std::vector<int32_t> text_ids(const fs::path& file, const Tokenizer& tokenizer) {
  return document_ids(file, SourceFormat::kText, tokenizer);
}

void check_vocabulary(const Tokenizer& tokenizer, const ModelSpec& spec) {
  if (tokenizer.vocab_size() <= spec.vocab_size) return;
  throw UsageError("the tokenizer has " + std::to_string(tokenizer.vocab_size()) +
                       " ids, the model's vocabulary " + std::to_string(spec.vocab_size) + ": " +
                       tokenizer.description(),
                   "the tokenizer does not belong to this model: take the tokenizer files that "
                   "came with it");
}

}  // namespace littlebit
