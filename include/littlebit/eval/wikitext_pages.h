// WikiText by pages, as lm-evaluation-harness 0.4.8 scores them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace littlebit {

// The pages of WikiText's raw file as the data set EleutherAI/wikitext_document_level cuts them: a
// page begins at a line "= Title =".
std::vector<std::string> wikitext_pages(std::string_view text);

// A page as the task `wikitext` rewrites it before it is scored: punctuation joined to its words
// again. Words and bytes are counted on the page before that.
std::string detokenized_wikitext(std::string_view page);

// len(re.split(r"\s+", text)): runs of white space, and one.
int64_t count_words(std::string_view text);

}  // namespace littlebit
