// A compiled pattern, found in texts as Hugging Face tokenizers finds it (Oniguruma's find_iter).
//
// PCRE2 with UTF, UCP and JIT. Immutable after construction; may be used from several threads at
// once.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace littlebit::tokenizer {

// What patterns may cost in one text, all matches of all patterns together: an amount that grows
// with the length of the text, so that no pattern makes a text take more than some seconds a
// megabyte. As long as one of these lives, the patterns of its thread draw on it; an inner one does
// not act. Without any, each find_all has its own.
class PatternBudget {
 public:
  explicit PatternBudget(size_t text_bytes);
  PatternBudget(const PatternBudget&) = delete;
  PatternBudget& operator=(const PatternBudget&) = delete;
  ~PatternBudget();

 private:
  bool outermost_;
};

class Regex {
 public:
  // Oniguruma syntax; see regex_translation.h for what of it.
  Regex(std::string_view pattern, const std::string& where);
  Regex(Regex&&) noexcept;
  ~Regex();

  bool may_match_nothing() const;  // some match may be empty

  // found(begin, end) for each match in order. InputError where the budget is spent; Error with
  // exit code 143 where a stop was requested meanwhile.
  template <class Found>
  void find_all(std::string_view text, Found&& found) const {
    Search search(*this, text);
    size_t begin, end;
    while (search.next(begin, end)) found(begin, end);
  }

 private:
  struct Code;
  class Search {
   public:
    Search(const Regex& regex, std::string_view text);
    ~Search();
    Search(const Search&) = delete;
    Search& operator=(const Search&) = delete;
    bool next(size_t& begin, size_t& end);

   private:
    bool match();
    int run_match();  // with the limit that is set

    PatternBudget budget_;
    const Regex& regex_;
    std::string_view text_;
    struct Data;
    std::unique_ptr<Data> data_;
    size_t from_ = 0;
    size_t last_end_ = std::string_view::npos;
  };

  std::unique_ptr<Code> code_;
};

}  // namespace littlebit::tokenizer
