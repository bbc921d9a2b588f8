// The instruction sets that the CPU kernels are compiled for. Each kernel takes one as its last
// argument: by default the best of this machine; tests name any that it has.
#pragma once

namespace littlebit {

// What a processor can run: each includes those before it. kAvx512 is x86-64-v4.
enum class Instructions { kPlain, kAvx2, kAvx512 };
Instructions best_instructions();  // of this machine

// Whether this processor multiplies bf16 by instructions of its own.
bool multiplies_bf16();

}  // namespace littlebit
