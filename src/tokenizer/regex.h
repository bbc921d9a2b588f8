// A compiled pattern, found in texts as Hugging Face tokenizers finds it (Oniguruma's find_iter).
//
// PCRE2 with UTF, UCP and JIT. Immutable after construction; may be used from several threads at
// once.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace littlebit {

class Regex {
 public:
  // Oniguruma syntax; see regex_translation.h for what of it.
  Regex(std::string_view pattern, const std::string& where);
  Regex(Regex&&) noexcept;
  ~Regex();

  bool may_match_nothing() const;  // some match may be empty

  // found(begin, end) for each match in order. A pattern that backtracks without end is an
  // InputError.
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

    const Regex& regex_;
    std::string_view text_;
    struct Data;
    std::unique_ptr<Data> data_;
    size_t from_ = 0;
    size_t last_end_ = std::string_view::npos;
  };

  std::unique_ptr<Code> code_;
};

}  // namespace littlebit
