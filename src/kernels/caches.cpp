// See caches.h.
#include "littlebit/kernels/caches.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace littlebit {

void evict_from_caches([[maybe_unused]] const void* data, [[maybe_unused]] size_t bytes) {
#if defined(__x86_64__)
  constexpr size_t kLine = 64;
  const char* first = static_cast<const char*>(data);
  for (size_t i = 0; i < bytes; i += kLine) _mm_clflush(first + i);
  if (bytes > 0) _mm_clflush(first + bytes - 1);
  _mm_mfence();
#endif
}

}  // namespace littlebit
