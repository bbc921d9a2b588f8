// One of the fuzz targets as a program of libFuzzer's: LITTLEBIT_FUZZ_TARGET names it. See
// README.md.
#include <cstdio>
#include <cstdlib>

#include "fuzz/scratch.h"
#include "fuzz/targets.h"
#include "support/begin_tests.h"

namespace littlebit::test {

[[gnu::weak]] void begin_tests() {}

namespace {

const FuzzTarget& target() {
  static const FuzzTarget found = [] {
    for (const FuzzTarget& each : LITTLEBIT_FUZZ_TARGETS()) {
      if (each.name == LITTLEBIT_FUZZ_TARGET) return each;
    }
    std::abort();
  }();
  return found;
}

// The good files to begin with, into the folder that SEEDS names.
void write_seeds() {
  const char* folder = std::getenv("SEEDS");
  if (folder == nullptr) return;
  std::filesystem::create_directories(folder);
  for (size_t i = 0; i < target().seeds.size(); ++i) {
    put(std::filesystem::path(folder) / ("seed-" + std::to_string(i)), target().seeds[i]);
  }
}

}  // namespace
}  // namespace littlebit::test

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  littlebit::test::begin_tests();
  littlebit::test::write_seeds();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  littlebit::test::target().run({reinterpret_cast<const char*>(data), size});
  return 0;
}
