// What a test program does before its first case: nothing, where it does not define this itself.
#pragma once

namespace littlebit::test {

void begin_tests();

}  // namespace littlebit::test
