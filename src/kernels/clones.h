// LITTLEBIT_CLONES compiles a plain loop for AVX-512, AVX2 and the baseline and picks at run time.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__)
#define LITTLEBIT_CLONES __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define LITTLEBIT_CLONES
#endif
