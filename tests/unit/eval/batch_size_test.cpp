// eval.batch_size: its estimate of memory against what a pass takes, and that scores do not change.
#include <ATen/ops/randint.h>
#include <c10/core/GradMode.h>

#include <catch2/catch.hpp>

#include "../../../src/eval/batch_fit.h"
#include "littlebit/eval/model.h"
#include "littlebit/eval/perplexity.h"
#include "littlebit/models/forward.h"
#include "support/counted_memory.h"
#include "support/thread_processes.h"
#include "support/tiny_model.h"
#include "temp_folder.h"

namespace littlebit {
namespace {

struct Model {
  TempFolder temp;
  std::unique_ptr<EvalModel> model;
  explicit Model(const test::TinyOptions& options) {
    test::write_tiny_llama(temp.path(), options);
    model = std::make_unique<EvalModel>(temp.path(), at::kFloat, at::kCPU);
  }
  const Decoder& decoder() const { return model->decoder(); }
};

}  // namespace

TEST_CASE("the estimate of a pass's memory is no less than what it takes, and not twice three") {
  const c10::AutoGradMode no_grad(false);
  test::CountingAllocator& memory = test::CountingAllocator::instance();
  // Wide in the MLP, in attention, and with long sequences.
  for (const test::TinyOptions& options : {test::TinyOptions{.intermediate = 512},
                                           test::TinyOptions{.hidden = 128, .intermediate = 64},
                                           test::TinyOptions{.heads = 8, .kv_heads = 8}}) {
    const Model model(options);
    const Decoder& decoder = model.decoder();
    constexpr int64_t kLength = 48, kSequences = 64;
    const at::Tensor ids = at::randint(options.vocabulary, {kSequences, kLength}, at::kLong);
    const SequenceContext context = decoder.context(kLength);
    memory.reset_peak();
    const int64_t before = memory.alive();
    at::Tensor x = decoder.embedding_forward(ids);
    for (int64_t layer = 0; layer < decoder.spec().num_layers; ++layer) {
      x = decoder.block_forward(layer, x, context);
    }
    x = decoder.tail_forward(x);
    const int64_t taken = memory.peak() - before;
    const int64_t estimated =
        kSequences * kLength * forward_bytes_per_token(decoder.spec(), sizeof(float), kLength);
    INFO(taken << " bytes, estimated " << estimated);
    CHECK(taken <= estimated);
    CHECK(estimated <= 6 * taken);
  }
}

TEST_CASE("eval.batch_size auto fits the memory, and changes no score") {
  const Model model({});
  const BatchSize fixed = settled_batch("8", model.decoder(), 16, BatchSharing());
  CHECK(fixed.sequences == 8);
  CHECK(fixed.of_length(1000) == 8);
  CHECK(settled_batch("0", model.decoder(), 16, BatchSharing()).of_length(1000) == 4);
  const BatchSize batch = settled_batch("auto", model.decoder(), 16, BatchSharing());
  CHECK(batch.sequences == 0);
  CHECK(batch.tokens >= 16);
  CHECK(batch.tokens <= 1 << 18);
  CHECK(BatchSize().of_length(1 << 20) == 1);

  const at::Tensor drawn = at::randint(48, {700}, at::kInt);
  const std::vector<int32_t> ids(drawn.data_ptr<int32_t>(), drawn.data_ptr<int32_t>() + 700);
  const auto nll = [&](BatchSize size) {
    return chunk_perplexity(model.decoder(), ids, {.sequence_length = 16, .batch_size = size}, {})
        .metric("nll");
  };
  CHECK(nll(batch) == Approx(nll(1)).epsilon(1e-6));
}

}  // namespace littlebit
