// Perplexity over chunks that do not overlap: exp of the mean cross-entropy of all predictions.
// Each chunk is run alone, so its first token is context and predicts nothing; a remainder is
// dropped. Sums are taken in double, by chunk and then over chunks in their order, so that neither
// batches nor processes change which numbers are added.
#include "littlebit/eval/perplexity.h"

#include <ATen/ops/from_blob.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <vector>

#include "littlebit/core/error.h"
#include "littlebit/core/stopwatch.h"
#include "littlebit/core/strings.h"
#include "littlebit/distill/kl_divergence.h"
#include "token_nll.h"

namespace littlebit {
namespace {

// A model with what its blocks need of sequences of one length.
struct Scored {
  const Decoder& decoder;
  SequenceContext context;
  Scored(const Decoder& scored, int64_t length)
      : decoder(scored), context(scored.context(length)) {}

  // What the head reads where ids [B, T] predict a next one: [B, T - 1, E].
  at::Tensor rows(const at::Tensor& ids) const {
    return final_hidden_states(decoder, context, ids).narrow(1, 0, ids.size(1) - 1);
  }
};

// Sums of the cross-entropies of predicting ids[:, 1:] [B, T], by sequence.
void batch_nll(const Scored& model, const at::Tensor& ids, const at::Tensor& z, double* sums) {
  // Row t predicts token t + 1.
  const at::Tensor targets = ids.narrow(1, 1, z.size(1)).reshape({-1});
  const at::Tensor scores =
      token_nll(model.decoder, z.reshape({-1, z.size(-1)}), targets).view({z.size(0), -1});
  const at::Tensor by_sequence = scores.sum(1).cpu();
  std::copy_n(by_sequence.const_data_ptr<double>(), z.size(0), sums);
}

void batch_kl(const Scored& model, const Scored& teacher, const at::Tensor& ids,
              const at::Tensor& z, double* sums) {
  const at::Tensor z_teacher = teacher.rows(ids);
  for (int64_t i = 0; i < z.size(0); ++i) {
    sums[i] =
        kl_divergence(teacher.decoder, model.decoder, z_teacher[i], z[i], 0, {}).item<double>();
  }
}

double mean(const std::vector<double>& sums, int64_t predictions) {
  return std::accumulate(sums.begin(), sums.end(), 0.0) / static_cast<double>(predictions);
}

// The divergence compares probabilities token by token: the same vocabulary, and the same soft cap,
// since one operation caps both.
void check_comparable(const ModelSpec& model, const ModelSpec& teacher, int64_t length) {
  if (model.vocab_size != teacher.vocab_size) {
    throw InputError("the teacher knows " + format_count(teacher.vocab_size) + " ids, the model " +
                         format_count(model.vocab_size),
                     "a divergence is of two models with one vocabulary");
  }
  if (model.logit_softcap != teacher.logit_softcap) {
    throw InputError("teacher and model cap their logits differently",
                     "take the divergence from the model that this one was made from");
  }
  if (teacher.learned_positions && length > teacher.max_positions) {
    throw InputError("the teacher has learned " + std::to_string(teacher.max_positions) +
                         " positions, a chunk has " + std::to_string(length),
                     "lower the sequence length");
  }
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
  const Scored model(decoder, length);
  std::optional<Scored> teacher;
  if (options.teacher != nullptr) {
    check_comparable(decoder.spec(), options.teacher->spec(), length);
    teacher.emplace(*options.teacher, length);
  }
  std::vector<double> nll(static_cast<size_t>(chunks)), kl(teacher ? nll.size() : 0);  // sums
  const auto score = [&](int64_t i) {
    const int64_t first = i * batch, count = std::min(batch, chunks - first);
    const auto part = ids.subspan(first * length, count * length);
    const at::Tensor batch_ids =
        at::from_blob(const_cast<int32_t*>(part.data()), {count, length}, at::kInt);
    const at::Tensor there = batch_ids.to(decoder.device(), at::kLong);
    const at::Tensor z = model.rows(there);
    batch_nll(model, there, z, nll.data() + first);
    if (teacher) batch_kl(model, *teacher, there, z, kl.data() + first);
  };
  sharing.for_each((chunks + batch - 1) / batch, "the text was scored", score,
                   [&](int64_t batches) {
                     if (progress) progress(std::min(batches * batch, chunks), chunks);
                   });
  sharing.complete(nll, decoder.device());
  sharing.complete(kl, decoder.device());

  // One chunk predicts as many tokens as another, so the mean over chunks is the mean over tokens.
  const int64_t predictions = chunks * (length - 1);
  const double mean_nll = mean(nll, predictions), mean_kl = mean(kl, predictions);
  const double perplexity = std::exp(mean_nll);
  if (!std::isfinite(perplexity) || !std::isfinite(mean_kl)) {
    throw NumericsError(
        "the mean cross-entropy is " + std::to_string(mean_nll) + ": the model's numbers overflow",
        "compute in fp32; if it does not help, the model is damaged");
  }
  if (options.each) {
    const auto predicted = static_cast<double>(length - 1);
    for (size_t i = 0; i < nll.size(); ++i) {
      options.each(static_cast<int64_t>(i),
                   {.nll = nll[i] / predicted, .kl = teacher ? kl[i] / predicted : 0});
    }
  }
  TaskResult result{.protocol = "concatenated_chunks@" + std::to_string(length),
                    .metrics = {{"perplexity", perplexity}, {"nll", mean_nll}},
                    .counts = {{"tokens", chunks * length}, {"chunks", chunks}}};
  if (teacher) result.metrics.emplace_back("kl", mean_kl);
  result.seconds = stopwatch.seconds();
  return result;
}

}  // namespace littlebit
