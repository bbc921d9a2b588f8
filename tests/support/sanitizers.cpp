// How the sanitizers of the preset `asan` run our tests. LibTorch itself is not instrumented:
// what it allocates is seen, what it reads and writes is not.
#if defined(__SANITIZE_ADDRESS__)

#include <dlfcn.h>

// LibTorch never frees its tables of operators: leaks are looked for in programs without it.
extern "C" int __lsan_is_turned_off() {
  return static_cast<int>(dlopen("libtorch_cpu.so", RTLD_LAZY | RTLD_NOLOAD) != nullptr);
}

extern "C" const char* __asan_default_options() {
  return "detect_leaks=1:"
         // A file that makes us ask for more than this was believed too early: the test dies.
         "max_allocation_size_mb=1024:allocator_may_return_null=0:"
         "detect_stack_use_after_return=1:strict_string_checks=1";
}

extern "C" const char* __ubsan_default_options() { return "print_stacktrace=1"; }

#endif
