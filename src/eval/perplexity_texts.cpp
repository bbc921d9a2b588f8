#include "littlebit/eval/perplexity_texts.h"

#include "littlebit/core/error.h"
#include "littlebit/data/corpus.h"

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

std::vector<int32_t> wikitext2_ids(const TaskInput& input, int64_t) {
  const fs::path& data_root = input.options.data_root;
  const fs::path places[] = {data_root / "wikitext2" / "wiki.test.raw",
                             data_root / "wiki.test.raw"};
  for (const fs::path& place : places) {
    std::error_code ignored;
    if (fs::exists(place, ignored)) {
      return document_ids(place, SourceFormat::kWikitext, input.tokenizer);
    }
  }
  throw InputError(
      "task wikitext2: its text is neither " + places[0].string() + " nor " + places[1].string(),
      "set eval.data_root (--data-root) to the folder that holds it; the file is "
      "WikiText-2 raw's test split (wikitext-2-raw-v1 on the Hugging Face Hub)");
}

std::vector<int32_t> text_ids(const TaskInput& input, int64_t) {
  return document_ids(input.options.text, SourceFormat::kText, input.tokenizer);
}

}  // namespace littlebit
