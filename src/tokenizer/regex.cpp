// PCRE2 behind find_iter: matches do not overlap, and an empty one right behind a match is passed
// over. Steps are bounded per text and stack per match, so a text cannot make it hang: PCRE2 does
// not tell the steps of a match, so a match is first tried with few, then with more and more, and
// what was tried in vain is known to have been spent.
#include "tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>

#include "littlebit/core/error.h"
#include "littlebit/core/signals.h"
#include "tokenizer/regex_translation.h"
#include "tokenizer/unicode.h"

namespace littlebit::tokenizer {
namespace {

// Backtracking steps: of the first try, of the last one, and those of a text beside its length. The
// deepest honest cases are a run of spaces as long as the text (so many steps in one match) and a
// run of digits under a lookahead (a match each three of them, which sees the rest of the run).
constexpr uint32_t kFirstLimit = 1000, kMatchLimit = 50'000'000;
constexpr uint64_t kTextSteps = 50'000'000, kStepsPerByte = 2000;
constexpr uint32_t kFactor = 8;

thread_local bool g_has_budget = false;
thread_local uint64_t g_steps_left = 0;
thread_local uint32_t g_matches = 0;  // to look at the stop request now and then

void refuse_to_go_on() {
  if (stop_requested()) throw Error(ExitCode::kStopped, "stopped while a text was tokenised");
}

constexpr size_t kJitStack = 16u << 20;

}  // namespace

struct Regex::Code {
  pcre2_code* code = nullptr;
  std::string where;
  ~Code() { pcre2_code_free(code); }
};

struct Regex::Search::Data {
  pcre2_match_data* match = nullptr;
  pcre2_match_context* context = nullptr;
  pcre2_jit_stack* stack = nullptr;
  bool interpret = false;  // the JIT ran out of stack on this text
  ~Data() {
    pcre2_match_data_free(match);
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(stack);
  }
};

Regex::Regex(std::string_view pattern, const std::string& where) : code_(new Code) {
  code_->where = where;
  std::string translated = translate_regex(pattern, where);
  int error = 0;
  PCRE2_SIZE at = 0;
  auto message = [&] {
    PCRE2_UCHAR text[256] = {0};
    pcre2_get_error_message(error, text, sizeof text);
    return InputError(where + ": the pattern \"" + std::string(pattern) +
                      "\" is not supported: " + reinterpret_cast<const char*>(text));
  };
  auto* context = pcre2_compile_context_create(nullptr);
  // As in Oniguruma: `.` matches everything but \n, and only \n ends a line for ^ and $.
  pcre2_set_newline(context, PCRE2_NEWLINE_LF);
  code_->code = pcre2_compile(
      reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_UTF_CHECK,
      &error, &at, context);
  pcre2_compile_context_free(context);
  if (!code_->code) throw message();
  error = pcre2_jit_compile(code_->code, PCRE2_JIT_COMPLETE);
  if (error != 0) throw message();
}

Regex::Regex(Regex&&) noexcept = default;
Regex::~Regex() = default;

bool Regex::may_match_nothing() const {
  uint32_t value = 0;
  pcre2_pattern_info(code_->code, PCRE2_INFO_MATCHEMPTY, &value);
  return value != 0;
}

// The outermost one counts: patterns that are tried one after the other on a text share its steps.
PatternBudget::PatternBudget(size_t text_bytes) : outermost_(!g_has_budget) {
  if (outermost_) g_steps_left = kTextSteps + kStepsPerByte * text_bytes;
  g_has_budget = true;
}

PatternBudget::~PatternBudget() {
  if (outermost_) g_has_budget = false;
}

Regex::Search::Search(const Regex& regex, std::string_view text)
    : budget_(text.size()), regex_(regex), text_(text), data_(new Data) {
  data_->match = pcre2_match_data_create_from_pattern(regex.code_->code, nullptr);
  data_->context = pcre2_match_context_create(nullptr);
  LB_ASSERT(data_->match && data_->context, "out of memory");
  pcre2_set_match_limit(data_->context, kFirstLimit);
}

Regex::Search::~Search() = default;

// One search from from_ on; false where nothing is found.
bool Regex::Search::match() {
  if (++g_matches % 1024 == 0) refuse_to_go_on();
  uint32_t limit = kFirstLimit;
  int rc = run_match();
  if (rc == PCRE2_ERROR_MATCHLIMIT) {
    while (rc == PCRE2_ERROR_MATCHLIMIT && limit < kMatchLimit && limit < g_steps_left) {
      refuse_to_go_on();
      g_steps_left -= limit;
      limit = std::min(limit * kFactor, kMatchLimit);
      pcre2_set_match_limit(data_->context, limit);
      rc = run_match();
    }
    // Of the last try it took between an eighth and all.
    g_steps_left -= std::min<uint64_t>(g_steps_left, limit / 2);
    pcre2_set_match_limit(data_->context, kFirstLimit);
  }
  if (rc == PCRE2_ERROR_NOMATCH) return false;
  if (rc < 0)
    throw InputError(regex_.code_->where + ": the pattern backtracks too much on this text",
                     "the text or the pattern is unusual; try a shorter text");
  return true;
}

int Regex::Search::run_match() {
  auto* text = reinterpret_cast<PCRE2_SPTR>(text_.data());
  auto run = [&] {
    return data_->interpret
               ? pcre2_match(regex_.code_->code, text, text_.size(), from_,
                             PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data_->match, data_->context)
               : pcre2_jit_match(regex_.code_->code, text, text_.size(), from_, 0, data_->match,
                                 data_->context);
  };
  int rc = run();
  // The JIT's own 32 KiB first; the large stack is made for texts that need it; beyond that the
  // interpreter takes over, slower and on the heap.
  if (rc == PCRE2_ERROR_JIT_STACKLIMIT && !data_->stack) {
    data_->stack = pcre2_jit_stack_create(32 * 1024, kJitStack, nullptr);
    LB_ASSERT(data_->stack, "out of memory");
    pcre2_jit_stack_assign(data_->context, nullptr, data_->stack);
    rc = run();
  }
  if (rc == PCRE2_ERROR_JIT_STACKLIMIT) {
    data_->interpret = true;
    rc = run();
  }
  return rc;
}

bool Regex::Search::next(size_t& begin, size_t& end) {
  while (from_ <= text_.size()) {
    if (!match()) return false;
    const PCRE2_SIZE* found = pcre2_get_ovector_pointer(data_->match);
    if (found[0] == found[1] && found[1] == last_end_) {  // empty, right after the last match
      from_ += from_ < text_.size() ? utf8_length(text_[from_]) : 1;
      continue;
    }
    begin = found[0];
    end = found[1];
    from_ = last_end_ = end;
    return true;
  }
  return false;
}

}  // namespace littlebit::tokenizer
