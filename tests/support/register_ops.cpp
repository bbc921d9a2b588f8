// What main does in a program that computes, for its tests.
#include "littlebit/ops/register_ops.h"

#include "support/begin_tests.h"

namespace littlebit::test {

void begin_tests() { register_ops(); }

}  // namespace littlebit::test
