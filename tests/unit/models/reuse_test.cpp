// What is run once must give what separate runs give: branches of a shared context, and tokens
// appended behind a cache, on every fixture architecture, past windows and rotation switches.
#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/tensor.h>

#include <catch2/catch.hpp>

#include "fixtures.h"
#include "littlebit/core/error.h"
#include "littlebit/models/branches.h"
#include "littlebit/models/forward.h"
#include "littlebit/models/incremental.h"

namespace littlebit {
namespace {

using Ids = std::vector<int32_t>;

// Products of other row counts sum in another order; random weights amplify it from block to block.
constexpr double kRounding = 2e-5;

Ids random_ids(int64_t count, const ModelSpec& spec) {
  const at::Tensor ids = at::randint(spec.vocab_size, {count}, at::kInt);
  return {ids.data_ptr<int32_t>(), ids.data_ptr<int32_t>() + count};
}

at::Tensor final_hidden(const Decoder& decoder, const Ids& ids) {
  const at::Tensor row = at::tensor(at::ArrayRef<int32_t>(ids), at::kInt).unsqueeze(0);
  return forward_full(decoder, row, false).final_hidden[0];
}

// What branch_predictions gives, one branch at a time.
at::Tensor separate_predictions(const Decoder& decoder,
                                std::span<const BranchedSequence> sequences) {
  std::vector<at::Tensor> rows;
  for (const BranchedSequence& sequence : sequences) {
    for (const auto& branch : sequence.branches) {
      Ids ids(sequence.context.begin(), sequence.context.end());
      ids.insert(ids.end(), branch.begin(), branch.end() - 1);
      const at::Tensor z = final_hidden(decoder, ids);
      const auto count = static_cast<int64_t>(branch.size());
      rows.push_back(z.narrow(0, z.size(0) - count, count));
    }
  }
  return at::cat(rows);
}

// Contexts around windows (5 to 32) and switches (32 positions), branches of several lengths.
struct Question {
  Ids context;
  std::vector<Ids> branches;
  BranchedSequence view() const {
    BranchedSequence sequence{.context = context};
    for (const Ids& branch : branches) sequence.branches.emplace_back(branch);
    return sequence;
  }
};

std::vector<Question> questions(const ModelSpec& spec) {
  const auto make = [&](int64_t context, std::initializer_list<int64_t> branches) {
    Question question{.context = random_ids(context, spec)};
    for (const int64_t length : branches) question.branches.push_back(random_ids(length, spec));
    return question;
  };
  return {make(1, {1, 1}), make(3, {4, 1, 9, 2}),     make(20, {2, 7}),
          make(7, {6}),    make(28, {3, 4, 5, 6, 1}), make(13, {19, 20, 21})};
}

TEST_CASE("branches of a shared context give what separate runs give", "[reuse]") {
  at::manual_seed(3);
  for (const Fixture& fixture : fixtures()) {
    DYNAMIC_SECTION(fixture.name) {
      LoadedModel model(fixture.path());
      if (fixture.name == "llama_mqa_mixed") CHECK(model.decoder.spec().num_kv_heads == 1);
      std::vector<BranchedSequence> sequences;
      const std::vector<Question> all = questions(model.decoder.spec());
      for (const Question& question : all) {
        const int64_t longest = static_cast<int64_t>(question.context.size()) + 20;
        if (model.decoder.spec().learned_positions &&
            longest > model.decoder.spec().max_positions) {
          continue;
        }
        sequences.push_back(question.view());
      }
      REQUIRE(sequences.size() >= 3);
      const at::Tensor together = branch_predictions(model.decoder, sequences);
      CHECK(gap(together, separate_predictions(model.decoder, sequences), kRounding).beyond_rtol <=
            kRounding);
    }
  }
}

TEST_CASE("a question's predictions do not depend on the others of a call", "[reuse]") {
  at::manual_seed(4);
  for (const char* name : {"gemma3", "llama_dynamic_rope", "phi3_su", "opt"}) {
    LoadedModel model(fixture(name).path());
    const std::vector<Question> all = questions(model.decoder.spec());
    std::vector<BranchedSequence> sequences = {all[1].view(), all[2].view(), all[5].view()};
    const at::Tensor together = branch_predictions(model.decoder, sequences);
    const at::Tensor alone = branch_predictions(model.decoder, std::span(sequences).subspan(1, 1));
    CHECK(gap(together.narrow(0, 16, 9), alone, 0).largest <= kRounding);
    std::swap(sequences[0], sequences[2]);
    const at::Tensor reversed = branch_predictions(model.decoder, sequences);
    CHECK(gap(reversed.narrow(0, 60, 9), alone, 0).largest <= kRounding);
  }
}

TEST_CASE("only what differs is run again", "[reuse]") {
  const auto tokens = [](const char* name) {
    LoadedModel model(fixture(name).path());
    const Question question{.context = Ids(30), .branches = {Ids(1), Ids(3), Ids(4), Ids(4)}};
    return tokens_run(model.decoder.spec(), question.view());
  };
  CHECK(tokens("llama_gqa") == 30 + 0 + 2 + 3 + 3);
  CHECK(tokens("phi3_su") == 2 * 30 + 0 + 2 + 3 + 3);             // 33 tokens are beyond the switch
  CHECK(tokens("llama_dynamic_rope") == 2 * 30 + 0 + 2 + 3 + 3);  // 32 trained
}

TEST_CASE("branches refuse what the model cannot take", "[reuse]") {
  LoadedModel model(fixture("opt").path());  // 256 tokens, 64 positions
  const Ids context(60, 1), branch(5, 2), longer(6, 2), wrong = {256, 0};
  const auto run = [&](const Ids& ids) {
    const BranchedSequence sequence{.context = context, .branches = {ids}};
    return branch_predictions(model.decoder, {&sequence, 1});
  };
  CHECK(run(branch).size(0) == 5);  // the last token is predicted, not run
  CHECK_THROWS_WITH(run(longer), Catch::Contains("64 positions"));
  CHECK_THROWS_WITH(run(wrong), Catch::Contains("0 to 255"));
}

TEST_CASE("tokens behind a cache give what a run over everything gives", "[reuse]") {
  at::manual_seed(5);
  for (const Fixture& fixture : fixtures()) {
    for (const CacheKind kind : {CacheKind::kFull, CacheKind::kNone}) {
      DYNAMIC_SECTION(fixture.name << (kind == CacheKind::kFull ? "" : " without a cache")) {
        LoadedModel model(fixture.path());
        const ModelSpec& spec = model.decoder.spec();
        const int64_t total =
            spec.learned_positions ? std::min<int64_t>(spec.max_positions, 45) : 45;
        const Ids ids = random_ids(total, spec);
        IncrementalDecoder decoder(model.decoder, kind);
        // A prompt, single tokens, a piece longer than some windows, single tokens past a switch.
        size_t done = 0;
        while (done < ids.size()) {
          const size_t count = std::min<size_t>(done == 0   ? 6
                                                : done == 9 ? 12
                                                            : 1,
                                                ids.size() - done);
          const at::Tensor z = decoder.extend(std::span(ids).subspan(done, count));
          done += count;
          const at::Tensor want = final_hidden(model.decoder, Ids(ids.begin(), ids.begin() + done));
          const auto rows = static_cast<int64_t>(count);
          INFO("after " << done);
          REQUIRE(gap(z, want.narrow(0, want.size(0) - rows, rows), kRounding).beyond_rtol <=
                  kRounding);
        }
        CHECK(decoder.length() == total);
      }
    }
  }
}

TEST_CASE("a decoder with a cache refuses what the model cannot take", "[reuse]") {
  LoadedModel model(fixture("opt").path());
  IncrementalDecoder decoder(model.decoder, CacheKind::kFull);
  decoder.extend(Ids(63, 1));
  CHECK_THROWS_WITH(decoder.extend(Ids(2, 1)), Catch::Contains("64 positions"));
  CHECK_THROWS_WITH(decoder.extend(Ids(1, -1)), Catch::Contains("-1"));
  CHECK(decoder.extend(Ids(1, 1)).size(0) == 1);  // what was refused has left no trace
  CHECK_THROWS_AS(IncrementalDecoder(model.decoder, CacheKind::kLatent), UsageError);
}

TEST_CASE("bytes that a token takes in the cache", "[reuse]") {
  LoadedModel model(fixture("llama_gqa").path());
  const ModelSpec& spec = model.decoder.spec();
  CHECK(IncrementalDecoder::bytes_per_token(model.decoder, CacheKind::kFull) ==
        spec.num_layers * 2 * spec.num_kv_heads * spec.head_dim * 4);
  CHECK(IncrementalDecoder::bytes_per_token(model.decoder, CacheKind::kNone) == 0);
}

}  // namespace
}  // namespace littlebit
