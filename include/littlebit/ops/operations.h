// The list of all operations: a new one is a line here, and no other file needs to know.
#pragma once

#include "littlebit/ops/affine.h"
#include "littlebit/ops/bf16_product.h"
#include "littlebit/ops/causal_attention.h"
#include "littlebit/ops/expand_interleaved_signs.h"
#include "littlebit/ops/expand_sign_matrices.h"
#include "littlebit/ops/expand_signs.h"
#include "littlebit/ops/gated_activation.h"
#include "littlebit/ops/grouped_rows.h"
#include "littlebit/ops/kl_rows.h"
#include "littlebit/ops/latent_gradients.h"
#include "littlebit/ops/layer_norm.h"
#include "littlebit/ops/product.h"
#include "littlebit/ops/relative_row_difference.h"
#include "littlebit/ops/rms_norm.h"
#include "littlebit/ops/rotary.h"
#include "littlebit/ops/scaled_product.h"
#include "littlebit/ops/sign_products.h"
#include "littlebit/ops/squared_difference.h"
#include "littlebit/ops/update_latents.h"
#include "littlebit/ops/update_signs.h"

namespace littlebit {

template <class... Each>
struct OperationList {};

using AllOperations = OperationList<ExpandSigns,              //
                                    ExpandSignMatrices,       //
                                    UpdateSigns,              //
                                    ExpandInterleavedSigns,   //
                                    SignProducts,             //
                                    MatrixProduct,            //
                                    Affine,                   //
                                    Bf16Product,              //
                                    ScaledProduct,            //
                                    GroupedProduct,           //
                                    RmsNorm,                  //
                                    AddRmsNorm,               //
                                    RmsNormGradient,          //
                                    LayerNorm,                //
                                    AddLayerNorm,             //
                                    LayerNormGradient,        //
                                    GatedActivation,          //
                                    GatedActivationGradient,  //
                                    KlRows,                   //
                                    SquaredDifference,        //
                                    RelativeRowDifference,    //
                                    LatentGradients,          //
                                    UpdateLatents,            //
                                    Rotary,                   //
                                    CausalAttention,          //
                                    CausalAttentionGradient>;

}  // namespace littlebit
