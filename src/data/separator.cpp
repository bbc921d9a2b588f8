// What stands between documents. A tokenizer that begins each text with BOS marks where one
// document ends and the next begins; one that adds nothing would run them together.
#include "littlebit/data/separator.h"

#include "littlebit/core/error.h"

namespace littlebit {

std::vector<int32_t> separator_ids(const DataOptions& options, const Tokenizer& tokenizer) {
  if (options.separator == "none") return {};
  if (options.separator == "auto") {
    const bool marks_texts = !tokenizer.encode("", /*add_special_tokens=*/true).empty();
    const std::optional<int32_t> end = tokenizer.eos_id();
    if (options.blocking == Blocking::kReference || marks_texts || !end) return {};
    return {*end};
  }
  const std::vector<int32_t> ids = tokenizer.encode(options.separator, false);
  if (ids.empty()) {
    throw UsageError("data.separator is a text that gives no token",
                     "give auto, none, or a text such as \"\\n\\n\" (in double quotes, so that it "
                     "is two line feeds)");
  }
  return ids;
}

}  // namespace littlebit
