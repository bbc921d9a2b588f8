// Control of the processor's caches, for measurements.
#pragma once

#include <cstddef>

namespace littlebit {

// Writes the lines of [data, data + bytes) back and drops them from every cache. Nothing where the
// processor has no instruction for it. Any thread.
void evict_from_caches(const void* data, size_t bytes);

}  // namespace littlebit
