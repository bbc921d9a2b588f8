// Expectations are what Python 3.11 gives.
#include "littlebit/tokenizer/python_text.h"

#include <catch2/catch.hpp>

using namespace littlebit;

TEST_CASE("capitalize: title case in front, lower case behind") {
  const auto check = [](const char* text, const char* expected) {
    INFO(text);
    CHECK(python_capitalize(text) == expected);
  };
  check("", "");
  check("the man in NYC", "The man in nyc");
  check("  lead SPACE", "  lead space");
  check(", then B", ", then b");
  check("HE SAID 'NO'", "He said 'no'");
  check("\u00e9COLE \u00c9T\u00c9", "\u00c9cole \u00e9t\u00e9");
  check("\u00dfTRASSE", "Sstrasse");         // one character becomes two
  check("\u01c6ABC", "\u01c5abc");           // a digraph has a title case of its own
  check("\ufb03X", "Ffix");                  // a ligature of three
  check("\u0130I\u0130", "\u0130ii\u0307");  // the capital that becomes two when lowered
  check("\u10d0\u1c90", "\u10d0\u10d0");     // Georgian has no title case
  check("\u0149X", "\u02bcNx");              // two from one in title case
  check("\U00010428\U00010400", "\U00010400\U00010428");  // beyond the first plane
  check("1A", "1a");
}

TEST_CASE("capitalize: a sigma that ends a word") {
  const auto check = [](const char* text, const char* expected) {
    INFO(text);
    CHECK(python_capitalize(text) == expected);
  };
  check("\u03a3", "\u03a3");
  check("A\u03a3", "A\u03c2");
  check("A\u03a3 B", "A\u03c2 b");
  check("A\u03a3B", "A\u03c3b");
  check("1\u03a3", "1\u03c3");    // nothing cased in front
  check("A.\u03a3", "A.\u03c2");  // a full stop is skipped,
  check("A-\u03a3", "A-\u03c3");  // a hyphen is not
  check("A\u0301\u03a3\u0301", "A\u0301\u03c2\u0301");
  check("A\u03a3\u0301B", "A\u03c3\u0301b");
  check("\u039f\u0394\u039f\u03a3 \u03a3", "\u039f\u03b4\u03bf\u03c2 \u03c3");
}

TEST_CASE("white space as str.isspace() has it") {
  CHECK(python_strip(" \t\n\v\f\r x \x1c\x1d\x1e\x1f") == "x");
  CHECK(python_strip("\u0085\u00a0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000x\u3000") == "x");
  CHECK(python_strip("\u200bx\ufeff") == "\u200bx\ufeff");  // not white space
  CHECK(python_lstrip(" x ") == "x ");
  CHECK(python_rstrip(" x \u2003") == " x");
  CHECK(python_rstrip("\u00e9 ") == "\u00e9");
  CHECK(python_strip(" \u00a0 ").empty());
  CHECK(python_strip("").empty());
}

TEST_CASE("length counts code points") {
  CHECK(python_length("") == 0);
  CHECK(python_length("abc") == 3);
  CHECK(python_length("\u00e9\u20ac\U0001f469") == 3);
  CHECK(python_length("e\u0301") == 2);
}
