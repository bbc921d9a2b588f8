// The paths that CMake knows. This one file is compiled with them, so that no other depends on
// them.
#include "support/paths.h"

namespace littlebit::test {

const char* const kSourceDir = LITTLEBIT_SOURCE_DIR;
const char* const kBinaryDir = LITTLEBIT_BINARY_DIR;

}  // namespace littlebit::test
