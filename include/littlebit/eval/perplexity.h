// Perplexity over chunks that do not overlap: what the perplexity protocols of specs section 8 have
// in common. Which text becomes which ids is perplexity_texts.h's.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "littlebit/eval/batch_sharing.h"
#include "littlebit/eval/batch_size.h"
#include "littlebit/eval/results.h"
#include "littlebit/models/decoder.h"

namespace littlebit {

// Means over a chunk's predictions, in nats.
struct ChunkScore {
  double nll = 0;
  double kl = 0;  // 0 where there is no teacher
};

struct ChunkOptions {
  int64_t sequence_length = 2048;
  int64_t limit = 0;  // chunks; 0: all
  BatchSize batch_size;
  // Where given there is the metric kl too: the mean of KL(teacher || model) over all predictions.
  const Decoder* teacher = nullptr;
  std::function<void(int64_t chunk, const ChunkScore&)> each;  // in order, at the end; may be empty
};

// Non-overlapping chunks of `ids`, the remainder dropped, each run alone. Metrics: perplexity =
// exp(nll), nll = the mean over chunks of the mean cross-entropy of a chunk's sequence_length - 1
// predictions, in nats. Counts: tokens and chunks scored. Protocol "concatenated_chunks@2048"; the
// task's name is the caller's. Logits of at most 1024 rows exist at a time. `progress(done, total)`
// in chunks, may be empty. InputError where ids hold less than one chunk, an id the model does not
// know, or the teacher has another vocabulary or too few positions; NumericsError where the mean is
// not finite; Error kStopped where a stop was requested.
TaskResult chunk_perplexity(const Decoder& decoder, std::span<const int32_t> ids,
                            const ChunkOptions& options,
                            const std::function<void(int64_t, int64_t)>& progress,
                            const BatchSharing& sharing = BatchSharing());

}  // namespace littlebit
