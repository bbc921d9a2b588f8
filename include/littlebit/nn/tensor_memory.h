// Where tensors on the CPU get their memory. The C library's heap puts small blocks into the gaps
// that large ones leave: after some steps of a training it holds nearly twice what is alive.
#pragma once

namespace littlebit {

// From now on large tensors get pages of their own, which are kept for the next ones; what the
// process holds for them stays near the most that was ever alive at once. Once per process, before
// tensors are made. Without effect under AddressSanitizer, which is to see every block.
void keep_tensor_memory();

// Gives back to the system what is kept: after work that takes much more than what follows.
void release_kept_tensor_memory();

}  // namespace littlebit
