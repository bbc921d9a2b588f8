// WikiText's raw file as documents: pages, their text without the spaces of tokenisation, words.
#include "littlebit/eval/wikitext_pages.h"

#include <utility>

#include "littlebit/core/strings.h"
#include "littlebit/tokenizer/python_text.h"

namespace littlebit {
namespace {

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  std::string result;
  size_t at = 0;
  for (size_t found; (found = text.find(from, at)) != std::string::npos; at = found + from.size()) {
    result.append(text, at, found - at).append(to);
  }
  text = result.append(text, at);
}

// White space next to the inside of each pair `open` ... `close` goes. A pair ends at the first
// `close`; pairs do not overlap.
void trim_pairs(std::string& text, char open, char close) {
  std::string result;
  size_t at = 0;
  while (true) {
    const size_t begin = text.find(open, at);
    const size_t end = begin == std::string::npos ? begin : text.find(close, begin + 1);
    if (end == std::string::npos) break;
    result.append(text, at, begin + 1 - at);
    result.append(python_strip(std::string_view(text).substr(begin + 1, end - begin - 1)));
    result += close;
    at = end + 1;
  }
  text = result.append(text, at);
}

// " = Title = " begins a page; " = = Section = = " does not.
bool is_title(std::string_view line) {
  std::string marks(line);
  replace_all(marks, "= = =", "===");
  replace_all(marks, "= =", "==");
  const std::string_view title = python_strip(marks);
  return title.starts_with("= ") && title.ends_with(" =");
}

}  // namespace

std::vector<std::string> wikitext_pages(std::string_view text) {
  std::vector<std::string> pages;
  size_t page = 0;
  const auto give = [&](size_t end) {  // [page, end) without the line feed at its end
    const std::string_view lines = text.substr(page, end > page ? end - 1 - page : 0);
    if (!python_strip(lines).empty()) pages.emplace_back(lines);
  };
  for (size_t at = 0; at < text.size();) {
    const size_t newline = std::min(text.find('\n', at), text.size());
    if (at > page && is_title(text.substr(at, newline - at))) {
      give(at);
      page = at;
    }
    at = newline + 1;
  }
  give(text.size() + 1);
  return pages;
}

// The replacements of lm-evaluation-harness in its order, which matters: a later one sees what an
// earlier one has made.
std::string detokenized_wikitext(std::string_view page) {
  std::string text(page);
  const auto replace = [&](std::initializer_list<std::pair<const char*, const char*>> pairs) {
    for (const auto& [from, to] : pairs) replace_all(text, from, to);
  };
  replace({{"s '", "s'"}, {" @-@ ", "-"}, {" @,@ ", ","}, {" @.@ ", "."}});
  replace({{" : ", ": "}, {" ; ", "; "}, {" . ", ". "}, {" ! ", "! "}, {" ? ", "? "}});
  replace({{" , ", ", "}});
  for (const auto& [open, close] : {std::pair{'(', ')'}, {'[', ']'}, {'{', '}'}}) {
    trim_pairs(text, open, close);
  }
  trim_pairs(text, '"', '"');
  trim_pairs(text, '\'', '\'');
  replace({{"= = = =", "===="}, {"= = =", "==="}, {"= =", "=="}, {" \u00b0 ", "\u00b0"}});
  replace({{" \n", "\n"}, {"\n ", "\n"}, {" N ", " 1 "}, {" 's", "'s"}});
  return text;
}

// As the harness counts: the parts that a split at runs of white space gives, empty ones at the
// ends included.
int64_t count_words(std::string_view text) {
  int64_t words = 1;
  while (!text.empty()) {
    const std::string_view rest = python_lstrip(text);
    if (rest.size() < text.size()) {
      ++words;
      text = rest;
      continue;
    }
    do text.remove_prefix(1);
    while (!text.empty() && (static_cast<unsigned char>(text[0]) & 0xC0) == 0x80);
  }
  return words;
}

}  // namespace littlebit
