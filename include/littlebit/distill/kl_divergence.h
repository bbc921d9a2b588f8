// The KL term of the loss, in chunks of rows: no [tokens, vocabulary] tensor for a whole batch.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "littlebit/models/decoder.h"

namespace littlebit {

// Rows of logits alive at a time, per model: 1024, fewer where the vocabulary is large (at most
// 2^24 logits, 64 MiB in fp32, but 64 rows at least).
int64_t head_rows(int64_t vocabulary);

// Sum over rows and vocabulary of p_t (log p_t - log p_s), p = softmax(head(z)), a double scalar on
// the device; adds scale * d(sum)/d(z_student) into `dz` [N, E] (undefined: no gradient). z_* [N,
// E]. Logits of at most head_rows rows exist at a time; fp32 (fp64) arithmetic on them.
at::Tensor kl_divergence(const Decoder& teacher, const Decoder& student,
                         const at::Tensor& z_teacher, const at::Tensor& z_student, double scale,
                         const at::Tensor& dz);

}  // namespace littlebit
