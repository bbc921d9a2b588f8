// The list of all operations: a new one is a line here, and, where it has a kernel for CUDA, one in
// cuda/register.cpp.
#pragma once

#include "littlebit/ops/bf16_product.h"
#include "littlebit/ops/interleaved_signs.h"
#include "littlebit/ops/product.h"
#include "littlebit/ops/signs.h"

namespace littlebit {

template <class... Each>
struct OperationList {};

using AllOperations = OperationList<ExpandSigns,               //
                                    UpdateSigns,               //
                                    ExpandInterleavedSigns,    //
                                    MultiplyInterleavedSigns,  //
                                    MatrixProduct,             //
                                    Affine,                    //
                                    Bf16Product>;

}  // namespace littlebit
