// Starting the own program anew with one more environment variable, and how memory is freed.
#include "littlebit/core/process.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
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

// The path by which this program was started; nullptr where that is not the program that runs, as
// with `ld-linux.so PROGRAM`. Starting it by that path keeps its name in ps, top and core files.
const char* started_path() {
  const auto* path = reinterpret_cast<const char*>(getauxval(AT_EXECFN));
  struct stat named, running;
  if (path == nullptr || stat(path, &named) != 0 || stat("/proc/self/exe", &running) != 0 ||
      named.st_dev != running.st_dev || named.st_ino != running.st_ino) {
    return nullptr;
  }
  return path;
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
  const char* path = started_path();
  if (path != nullptr) execve(path, argv, settled);
  // Where that cannot be done the program goes on, waiting as OpenMP likes.
}

void open_closed_descriptors() {
  for (int descriptor = 0; descriptor <= STDERR_FILENO; ++descriptor) {
    if (fcntl(descriptor, F_GETFD) != -1 || errno != EBADF) continue;
    // The lowest that is free, so this one: those below it are open by now.
    open("/dev/null", descriptor == STDIN_FILENO ? O_RDONLY : O_WRONLY);
  }
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
