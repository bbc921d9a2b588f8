// Where the checkout and its build lie. Not macros: test files then compile the same in any
// checkout, and the compiler cache finds them again.
#pragma once

namespace littlebit::test {

extern const char* const kSourceDir;
extern const char* const kBinaryDir;

}  // namespace littlebit::test
