// LittleBit's operations: entries of LibTorch's dispatcher, in its namespace `littlebit`. Each has
// a contract in tensors here (ops/<operation>.h), a plain ATen twin that runs on every device, and
// faster forms for some of them; which one runs, the dispatcher decides by where the tensors are.
#pragma once

namespace littlebit {

// Before the first use of any operation, in main; a second call does nothing. Forms for a GPU come
// with the CUDA library, when that is loaded. Nothing is ever taken out again.
void register_ops();

}  // namespace littlebit
