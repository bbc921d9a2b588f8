// Perplexity against a plain computation, and what ends a run early.
#include "littlebit/eval/perplexity.h"

#include <ATen/ATen.h>
#include <signal.h>

#include <catch2/catch.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/signals.h"
#include "littlebit/core/write_file.h"
#include "littlebit/eval/model.h"
#include "littlebit/export/dense.h"
#include "littlebit/export/packed.h"
#include "littlebit/models/forward.h"
#include "support/authors_folder.h"
#include "support/tiny_student.h"
#include "unit/io/expect_error.h"

using namespace littlebit;
using littlebit::test::expect_error;

namespace {

namespace fs = std::filesystem;

std::vector<int32_t> random_ids(int64_t count, int64_t vocab_size) {
  at::manual_seed(23);
  const at::Tensor ids = at::randint(vocab_size, {count}, at::kInt);
  return {ids.data_ptr<int32_t>(), ids.data_ptr<int32_t>() + count};
}

// The protocol in its own words: each chunk alone, mean of its predictions, mean of the means.
double plain_nll(const Decoder& decoder, const std::vector<int32_t>& ids, int64_t length,
                 int64_t chunks) {
  double sum = 0;
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    at::Tensor x = at::empty({1, length}, at::kLong);
    for (int64_t t = 0; t < length; ++t) x[0][t] = ids[chunk * length + t];
    const at::Tensor log_p =
        at::log_softmax(forward_full(decoder, x, false).logits[0].to(at::kDouble), -1);
    double chunk_sum = 0;
    for (int64_t t = 0; t + 1 < length; ++t) {
      chunk_sum -= log_p[t][ids[chunk * length + t + 1]].item<double>();
    }
    sum += chunk_sum / static_cast<double>(length - 1);
  }
  return sum / static_cast<double>(chunks);
}

struct TinyModel {
  TempFolder temp;
  std::unique_ptr<EvalModel> model;
  explicit TinyModel(const test::TinyOptions& options = {}) {
    test::write_tiny_llama(temp.path(), options);
    model = std::make_unique<EvalModel>(temp.path(), at::kFloat, at::kCPU);
  }
};

}  // namespace

TEST_CASE("chunks are scored alone, whatever the batch size") {
  const TinyModel tiny;
  const std::vector<int32_t> ids = random_ids(7 * 10 + 9, 48);  // 9 are the remainder
  const double want = plain_nll(tiny.model->decoder(), ids, 10, 7);
  for (const int64_t batch_size : {0, 1, 3, 7, 100}) {
    std::vector<std::pair<int64_t, int64_t>> seen;
    const TaskResult result = chunk_perplexity(
        tiny.model->decoder(), ids, {.sequence_length = 10, .batch_size = batch_size},
        [&](int64_t done, int64_t total) { seen.emplace_back(done, total); });
    CHECK(result.metric("nll") == Approx(want).epsilon(1e-6));
    CHECK(result.metric("perplexity") == Approx(std::exp(want)).epsilon(1e-5));
    CHECK(result.protocol == "concatenated_chunks@10");
    CHECK(result.count("tokens") == 70);
    CHECK(result.count("chunks") == 7);
    CHECK(result.seconds > 0);
    REQUIRE(!seen.empty());
    CHECK(seen.back() == std::pair<int64_t, int64_t>(7, 7));
    CHECK(seen.size() == (batch_size == 1 ? 7 : batch_size == 3 ? 3 : 1));
  }
  const TaskResult limited =
      chunk_perplexity(tiny.model->decoder(), ids, {.sequence_length = 10, .limit = 2}, {});
  CHECK(limited.count("chunks") == 2);
  CHECK(limited.metric("nll") ==
        Approx(plain_nll(tiny.model->decoder(), ids, 10, 2)).epsilon(1e-6));
}

TEST_CASE("the divergence from a teacher, chunk by chunk") {
  const TinyModel tiny, other({.scale = 0.9});
  const Decoder &model = tiny.model->decoder(), &teacher = other.model->decoder();
  const std::vector<int32_t> ids = random_ids(5 * 8 + 3, 48);
  std::vector<double> want(5);
  for (int64_t chunk = 0; chunk < 5; ++chunk) {
    at::Tensor x = at::empty({1, 8}, at::kLong);
    for (int64_t t = 0; t < 8; ++t) x[0][t] = ids[static_cast<size_t>(chunk * 8 + t)];
    const auto log_p = [&](const Decoder& decoder) {
      return at::log_softmax(
          forward_full(decoder, x, false).logits[0].narrow(0, 0, 7).to(at::kDouble), -1);
    };
    const at::Tensor p = log_p(teacher), q = log_p(model);
    want[static_cast<size_t>(chunk)] = (p.exp() * (p - q)).sum().item<double>() / 7;
  }
  REQUIRE(want[0] > 1e-4);
  for (const int64_t batch_size : {1, 2, 100}) {
    std::vector<ChunkScore> seen;
    const TaskResult result =
        chunk_perplexity(model, ids,
                         {.sequence_length = 8,
                          .batch_size = batch_size,
                          .teacher = &teacher,
                          .each =
                              [&](int64_t chunk, const ChunkScore& score) {
                                REQUIRE(chunk == static_cast<int64_t>(seen.size()));
                                seen.push_back(score);
                              }},
                         {});
    REQUIRE(seen.size() == 5);
    double nll = 0, kl = 0;
    for (size_t i = 0; i < 5; ++i) {
      CHECK(seen[i].kl == Approx(want[i]).epsilon(1e-4));
      const std::vector<int32_t> chunk(ids.begin() + static_cast<int64_t>(8 * i),
                                       ids.begin() + static_cast<int64_t>(8 * i + 8));
      CHECK(seen[i].nll == Approx(plain_nll(model, chunk, 8, 1)).epsilon(1e-6));
      nll += seen[i].nll / 5;
      kl += seen[i].kl / 5;
    }
    CHECK(result.metric("nll") == Approx(nll).epsilon(1e-12));
    CHECK(result.metric("kl") == Approx(kl).epsilon(1e-12));
  }
  const ChunkOptions of_itself{.sequence_length = 8, .teacher = &model};
  CHECK(std::abs(chunk_perplexity(model, ids, of_itself, {}).metric("kl")) < 1e-9);
}

TEST_CASE("a teacher that a divergence cannot be taken from") {
  const TinyModel tiny, wider({.vocabulary = 56});
  const std::vector<int32_t> ids = random_ids(40, 48);
  expect_error(ExitCode::kInput, {"56 ids", "48"}, [&] {
    chunk_perplexity(tiny.model->decoder(), ids,
                     {.sequence_length = 8, .teacher = &wider.model->decoder()}, {});
  });
}

TEST_CASE("more rows of logits than are made at a time") {
  const TinyModel tiny({.vocabulary = 40, .layers = 1});
  const std::vector<int32_t> ids = random_ids(12 * 100, 40);  // 1188 predictions in one batch
  const TaskResult result =
      chunk_perplexity(tiny.model->decoder(), ids, {.sequence_length = 100}, {});
  CHECK(result.metric("nll") ==
        Approx(plain_nll(tiny.model->decoder(), ids, 100, 12)).epsilon(1e-6));
}

TEST_CASE("a text that cannot be scored") {
  const TinyModel tiny;
  std::vector<int32_t> ids = random_ids(20, 48);
  const auto score = [&](int64_t length) {
    return chunk_perplexity(tiny.model->decoder(), ids, {.sequence_length = length}, {});
  };
  expect_error(ExitCode::kInput, {"20 tokens", "chunk of 21"}, [&] { score(21); });
  ids[17] = 48;
  expect_error(ExitCode::kInput, {"token 17", "id 48", "47"}, [&] { score(10); });
  CHECK(score(15).count("chunks") == 1);  // what is not scored is not looked at
}

TEST_CASE("a stop request ends the scoring between batches") {
  const TinyModel tiny;
  const std::vector<int32_t> ids = random_ids(100, 48);
  install_stop_handlers();
  int64_t scored = 0;
  expect_error(ExitCode::kStopped, {"stopped"}, [&] {
    chunk_perplexity(tiny.model->decoder(), ids, {.sequence_length = 10, .batch_size = 2},
                     [&](int64_t done, int64_t) {
                       scored = done;
                       if (done == 4) raise(SIGTERM);
                     });
  });
  clear_stop_request();
  CHECK(scored == 4);
}

TEST_CASE("numbers that overflow are an error, not a score") {
  const TinyModel tiny({.scale = 1e18});
  expect_error(ExitCode::kNumerics, {"overflow"}, [&] {
    chunk_perplexity(tiny.model->decoder(), random_ids(40, 48), {.sequence_length = 10}, {});
  });
}

TEST_CASE("a reloaded export scores as the rounded student in memory") {
  const bool tied = GENERATE(false, true);
  TempFolder temp;
  test::write_tiny_llama(temp.path(), {.tied = tied, .biases = true});
  test::TinyStudent tiny(temp.path());
  export_packed(temp.path() / "packed", *tiny.student, tiny.plans, tiny.options, tiny.files);
  export_dense(temp.path() / "dense", *tiny.student, at::kFloat, tiny.files);
  const std::vector<int32_t> ids = random_ids(60, 48);
  const auto score = [&](const Decoder& decoder) {
    return chunk_perplexity(decoder, ids, {.sequence_length = 12}, {}).metric("perplexity");
  };
  const double before = score(tiny.student->decoder());
  const EvalModel dense(temp.path() / "dense", at::kFloat, at::kCPU);
  CHECK_FALSE(dense.packed());
  CHECK(score(dense.decoder()) == Approx(before).epsilon(1e-4));

  tiny.round_to_bf16();
  const EvalModel packed(temp.path() / "packed", at::kFloat, at::kCPU);
  CHECK(packed.packed());
  CHECK(score(packed.decoder()) == Approx(score(tiny.student->decoder())).epsilon(1e-6));
}

TEST_CASE("a folder of the authors' packer scores as its signs and scales say") {
  TempFolder temp;
  const fs::path teacher = temp.path() / "teacher";
  create_folders(teacher);
  test::write_tiny_llama(teacher, {.tied = true});
  const test::AuthorsFolder authors(teacher, {});
  authors.write(temp.path() / "packed");
  authors.write_dense(temp.path() / "dense");
  const EvalModel packed(temp.path() / "packed", at::kFloat, at::kCPU);
  const EvalModel dense(temp.path() / "dense", at::kFloat, at::kCPU);
  const std::vector<int32_t> ids = random_ids(96, 48);
  const auto score = [&](const EvalModel& model) {
    return chunk_perplexity(model.decoder(), ids, {.sequence_length = 16}, {}).metric("nll");
  };
  CHECK(score(packed) == Approx(score(dense)).epsilon(1e-5));
  CHECK(plain_nll(dense.decoder(), ids, 16, 6) == Approx(score(packed)).epsilon(1e-5));
}
