// A plain loop, compiled for each instruction set; the caller's `use` picks. The loop and all that
// it calls are LITTLEBIT_LOOP, so that they become part of each variant.
#pragma once

#include "littlebit/kernels/instructions.h"

#define LITTLEBIT_LOOP [[gnu::always_inline]] inline

namespace littlebit {

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
template <auto kLoop, class... Arguments>
__attribute__((target("arch=x86-64-v4"))) auto loop_avx512(Arguments... arguments) {
  return kLoop(arguments...);
}

template <auto kLoop, class... Arguments>
__attribute__((target("avx2"))) auto loop_avx2(Arguments... arguments) {
  return kLoop(arguments...);
}

template <auto kLoop, class... Arguments>
auto run_variant(Instructions use, Arguments... arguments) {
  if (use == Instructions::kAvx512) return loop_avx512<kLoop>(arguments...);
  if (use == Instructions::kAvx2) return loop_avx2<kLoop>(arguments...);
  return kLoop(arguments...);
}
#else
template <auto kLoop, class... Arguments>
auto run_variant(Instructions /*use*/, Arguments... arguments) {
  return kLoop(arguments...);
}
#endif

}  // namespace littlebit
