// Perplexity over chunks that do not overlap. Sums are taken in double.
#include "littlebit/eval/perplexity.h"

#include <ATen/ops/from_blob.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "littlebit/core/error.h"
#include "littlebit/core/stopwatch.h"
#include "littlebit/core/strings.h"
#include "row_scores.h"

namespace littlebit {
namespace {

// Sum of the cross-entropies of predicting ids[:, 1:] [B, T].
double batch_nll(const Decoder& decoder, const SequenceContext& context, const at::Tensor& ids) {
  const int64_t predictions = ids.size(1) - 1;
  const at::Tensor z = final_rows(decoder, context, ids).narrow(1, 0, predictions);
  const at::Tensor targets = ids.narrow(1, 1, predictions).reshape({-1});
  return row_scores(decoder, z.reshape({-1, z.size(-1)}), targets).sum().item<double>();
}

}  // namespace

TaskResult chunk_perplexity(const Decoder& decoder, std::span<const int32_t> ids,
                            const ChunkOptions& options,
                            const std::function<void(int64_t, int64_t)>& progress,
                            const BatchSharing& sharing) {
  const c10::AutoGradMode no_grad(false);
  const Stopwatch stopwatch;
  const int64_t length = options.sequence_length;
  LB_ASSERT(length >= 2, "a chunk predicts at least one token");
  int64_t chunks = static_cast<int64_t>(ids.size()) / length;
  if (chunks == 0) {
    throw InputError("the text has " + format_count(static_cast<int64_t>(ids.size())) +
                         " tokens, less than one chunk of " + format_count(length),
                     "give a longer text or a smaller sequence length");
  }
  if (options.limit > 0) chunks = std::min(chunks, options.limit);
  check_text_ids(ids.first(chunks * length), decoder.spec().vocab_size);

  const int64_t batch = options.batch_size.of_length(length);
  const SequenceContext context = decoder.context(length);
  std::vector<double> sums(static_cast<size_t>((chunks + batch - 1) / batch));  // by batch
  const auto score = [&](int64_t i) {
    const int64_t first = i * batch, count = std::min(batch, chunks - first);
    const auto part = ids.subspan(first * length, count * length);
    const at::Tensor batch_ids =
        at::from_blob(const_cast<int32_t*>(part.data()), {count, length}, at::kInt);
    sums[static_cast<size_t>(i)] =
        batch_nll(decoder, context, batch_ids.to(decoder.device(), at::kLong));
  };
  sharing.for_each(static_cast<int64_t>(sums.size()), "the text was scored", score,
                   [&](int64_t batches) {
                     if (progress) progress(std::min(batches * batch, chunks), chunks);
                   });
  sharing.complete(sums, decoder.device());

  const double sum = std::accumulate(sums.begin(), sums.end(), 0.0);
  const double nll = sum / static_cast<double>(chunks * (length - 1));
  const double perplexity = std::exp(nll);
  if (!std::isfinite(perplexity)) {
    throw NumericsError("the mean cross-entropy came out as " + std::to_string(nll) +
                            ": the model's numbers overflow",
                        "compute in fp32; if it does not help, the model is damaged");
  }
  return {.protocol = "concatenated_chunks@" + std::to_string(length),
          .metrics = {{"perplexity", perplexity}, {"nll", nll}},
          .counts = {{"tokens", chunks * length}, {"chunks", chunks}},
          .seconds = stopwatch.seconds()};
}

}  // namespace littlebit
