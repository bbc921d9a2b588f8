// What the processor says it can run, asked once.
#include "littlebit/kernels/instructions.h"

// GCC's level 4 and not AVX-512F alone: the clones that run_variant() chooses from are compiled for
// it.
#ifdef __clang__
#define LITTLEBIT_AVX512 "avx512f"  // older versions know no levels
#else
#define LITTLEBIT_AVX512 "x86-64-v4"
#endif

namespace littlebit {

Instructions best_instructions() {
#if defined(__x86_64__) && defined(__GNUC__)
  static const Instructions best = __builtin_cpu_supports(LITTLEBIT_AVX512) ? Instructions::kAvx512
                                   : __builtin_cpu_supports("avx2")         ? Instructions::kAvx2
                                                                            : Instructions::kPlain;
  return best;
#else
  return Instructions::kPlain;
#endif
}

bool multiplies_bf16() {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
  static const bool found =
      best_instructions() == Instructions::kAvx512 && __builtin_cpu_supports("avx512bf16");
  return found;
#else
  return false;
#endif
}

}  // namespace littlebit
