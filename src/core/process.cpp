// Starting the own program anew with one more environment variable, and how memory is freed.
#include "littlebit/core/process.h"

#include <malloc.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <initializer_list>

namespace littlebit {
namespace {

constexpr int kMaxVariables = 4096;  // an environment beyond this is left alone

bool names(const char* variable, const char* name) {
  const size_t length = std::strlen(name);
  return std::strncmp(variable, name, length) == 0 && variable[length] == '=';
}

}  // namespace

// The C library is not set up yet: nothing here may allocate, or ask for the environment other than
// by the argument.
void settle_waiting(int, char** argv, char** environment) {
  static char policy[] = "OMP_WAIT_POLICY=passive";
  static char* settled[kMaxVariables + 2];
  int count = 0;
  for (; environment[count] != nullptr; ++count) {
    const char* variable = environment[count];
    if (count == kMaxVariables || names(variable, "OMP_WAIT_POLICY") ||
        names(variable, "GOMP_SPINCOUNT")) {
      return;
    }
    settled[count] = environment[count];
  }
  settled[count] = policy;
  execve("/proc/self/exe", argv, settled);
  // Where that cannot be done the program goes on, waiting as OpenMP likes.
}

void keep_freed_memory() {
  for (const char* own : {"GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"}) {
    if (std::getenv(own) != nullptr) return;
  }
#ifdef M_MMAP_THRESHOLD
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
#endif
}

}  // namespace littlebit
