// A packed model is run from its bits: at no time is there a dense copy.
#include <ATen/ops/randint.h>

#include <catch2/catch.hpp>
#include <iostream>

#include "littlebit/eval/model.h"
#include "littlebit/models/forward.h"
#include "littlebit/models/incremental.h"
#include "support/packed_folder.h"
#include "support/peak_memory.h"
#include "temp_folder.h"

namespace littlebit {
namespace {

TEST_CASE("a packed model takes about its file and its activations") {
  constexpr int64_t kMiB = 1 << 20;
  const TempFolder temp;
  const test::PackedShape shape;
  const auto file = static_cast<int64_t>(test::write_packed_llama(temp.path(), shape));
  if (!test::reset_peak()) {
    std::cout << "skipped: this system does not reset VmHWM\n";
    return;
  }
  const int64_t before = test::status_bytes("VmRSS");
  int64_t dense_bytes = 0;
  {
    const EvalModel model(temp.path(), at::kFloat, at::kCPU);
    Decoder& decoder = const_cast<Decoder&>(model.decoder());
    decoder.visit_linears([&](LinearSlot& slot) { dense_bytes += 4 * slot.d_in * slot.d_out; });
    const at::Tensor ids = at::randint(shape.vocabulary, {2, 64}, at::kLong);
    CHECK(forward_full(decoder, ids, false).logits.isfinite().all().item<bool>());
    IncrementalDecoder incremental(decoder, CacheKind::kFull);
    const std::vector<int32_t> prompt = {1, 2, 3};
    CHECK(incremental.extend(prompt).size(0) == 3);
  }
  const int64_t peak = test::status_bytes("VmHWM") - before;
  INFO("file " << file / kMiB << " MiB, peak " << peak / kMiB << " MiB, dense "
               << dense_bytes / kMiB << " MiB");
  REQUIRE(dense_bytes > 500 * kMiB);
  CHECK(file < 32 * kMiB);
  // Activations of 128 tokens, pieces of factors, buffers of the matrix library.
  CHECK(peak < file + 48 * kMiB);
}

}  // namespace
}  // namespace littlebit
