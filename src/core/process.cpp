// Starting the own program anew with one more environment variable.
#include "littlebit/core/process.h"

#include <unistd.h>

#include <cstdlib>

namespace littlebit {

void settle_waiting(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") || std::getenv("GOMP_SPINCOUNT")) return;
  setenv("OMP_WAIT_POLICY", "passive", 1);
  execv("/proc/self/exe", argv);
  // Where that cannot be done the program goes on, waiting as OpenMP likes.
}

}  // namespace littlebit
