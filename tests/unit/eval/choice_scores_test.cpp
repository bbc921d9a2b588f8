// Requests and scores of multiple-choice documents, on made-up texts and a model of a few
// kilobytes; the harness's own numbers are in tests/golden/zeroshot_test.cpp.
#include "littlebit/eval/choice_scores.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <random>

#include "littlebit/eval/choice_documents.h"
#include "littlebit/eval/choice_requests.h"
#include "littlebit/models/forward.h"
#include "support/loaded_model.h"
#include "support/tiny_model.h"
#include "temp_folder.h"
#include "unit/io/expect_error.h"

using namespace littlebit;
using littlebit::test::expect_error;
using littlebit::test::expect_input_error;

namespace {

using Ids = std::vector<int32_t>;

// A byte is an id, but a space and what follows it are one, as in the vocabularies of benchmarked
// models; 1 stands in front.
class SpaceTokenizer : public Tokenizer {
 public:
  SpaceTokenizer(std::optional<int32_t> bos, std::optional<int32_t> eos) : bos_(bos), eos_(eos) {}
  Ids encode(std::string_view text, bool add_special_tokens) const override {
    Ids ids;
    if (add_special_tokens) ids.push_back(1);
    for (size_t i = 0; i < text.size(); ++i) {
      const bool joined = text[i] == ' ' && i + 1 < text.size() && text[i + 1] != ' ';
      if (joined) ++i;
      ids.push_back(static_cast<unsigned char>(text[i]) + (joined ? 256 : 0));
    }
    return ids;
  }
  std::string decode(std::span<const int32_t>) const override { return ""; }
  int64_t vocab_size() const override { return 512; }
  std::optional<int32_t> bos_id() const override { return bos_; }
  std::optional<int32_t> eos_id() const override { return eos_; }
  std::string content_hash() const override { return ""; }
  std::string description() const override { return ""; }

 private:
  std::optional<int32_t> bos_, eos_;
};

void check_pair(const TokenPair& pair, const Ids& context, const Ids& continuation) {
  CHECK(pair.context == context);
  CHECK(pair.continuation == continuation);
}

struct TinyModel {
  TempFolder temp;
  std::unique_ptr<test::LoadedModel> model;

  TinyModel() {
    test::write_tiny_llama(temp.path());
    model = std::make_unique<test::LoadedModel>(temp.path());
  }
  Decoder& decoder() const { return model->decoder; }
};

// The score of one request by a forward pass of its own.
ChoiceScore separate_score(const Decoder& decoder, const ChoiceRequest& request) {
  const int64_t length = static_cast<int64_t>(request.ids.size());
  const at::Tensor ids = at::tensor(at::ArrayRef<int32_t>(request.ids), at::kInt).unsqueeze(0);
  const at::Tensor logits =
      forward_full(decoder, ids.narrow(1, 0, length - 1), false).logits[0].to(at::kDouble);
  const at::Tensor log_p = at::log_softmax(logits, -1);
  ChoiceScore score{.is_greedy = true};
  for (int64_t t = length - request.scored; t < length; ++t) {
    score.loglikelihood += log_p[t - 1][request.ids[t]].item<double>();
    score.is_greedy &= log_p[t - 1].argmax().item<int64_t>() == request.ids[t];
  }
  return score;
}

EncodedDocument document_of(const std::vector<std::pair<Ids, Ids>>& choices) {
  EncodedDocument document;
  for (const auto& [context, continuation] : choices) {
    ChoiceRequest request{context, static_cast<int64_t>(continuation.size())};
    request.ids.insert(request.ids.end(), continuation.begin(), continuation.end());
    document.choices.push_back(std::move(request));
    document.lengths.push_back(1);
  }
  return document;
}

}  // namespace

TEST_CASE("a continuation's ids are cut from those of the whole text") {
  const SpaceTokenizer tokenizer(2, 3);
  check_pair(encode_pair(tokenizer, "a", " b", false), {'a'}, {'b' + 256});
  check_pair(encode_pair(tokenizer, "a", " b", true), {1, 'a'}, {'b' + 256});
  // White space at the context's end, of any kind, goes to the continuation.
  check_pair(encode_pair(tokenizer, "a ", "b", false), {'a'}, {'b' + 256});
  check_pair(encode_pair(tokenizer, "a  ", "b", false), {'a'}, {' ', 'b' + 256});
  check_pair(encode_pair(tokenizer, "a\n", " b", false), {'a'}, {'\n', 'b' + 256});
  check_pair(encode_pair(tokenizer, "a\u2003", "b", false), {'a'}, {0xE2, 0x80, 0x83, 'b'});
  check_pair(encode_pair(tokenizer, " a", "  b", false), {'a' + 256}, {' ', 'b' + 256});
  // An empty context: BOS, else EOS; of Gemma's tokenizer BOS comes twice.
  check_pair(encode_pair(tokenizer, "", " b", false), {2}, {'b' + 256});
  check_pair(encode_pair(tokenizer, "", " b", true), {2}, {1, 'b' + 256});
  check_pair(encode_pair(SpaceTokenizer({}, 3), "", "b", false), {3}, {'b'});
  expect_input_error({"names neither BOS nor EOS"},
                     [] { encode_pair(SpaceTokenizer({}, {}), "", "b", false); });
  expect_input_error({"context is nothing but white space"},
                     [&] { encode_pair(tokenizer, " \n", "b", false); });
  expect_input_error({"adds no token"}, [&] { encode_pair(tokenizer, "a", "", false); });
}

TEST_CASE("special tokens are added for gemma only") {
  for (const char* type : {"gemma", "gemma2", "gemma3_text"}) {
    CHECK(harness_adds_special_tokens({.model_type = type}));
  }
  for (const char* type : {"llama", "opt", "qwen2", "phi3", ""}) {
    CHECK_FALSE(harness_adds_special_tokens({.model_type = type}));
  }
}

TEST_CASE("what is longer than the model is cut in front") {
  const SpaceTokenizer tokenizer(2, 3);
  const std::vector<ChoiceDocument> documents = {
      {.place = "d.jsonl:4",
       .choices = {{"abcdef", "xy", 2}, {"ab", "xyz", 3}, {"abcdef", "wxyz", 4}}}};
  const auto encoded = [&](int64_t max_length) {
    return encode_documents(documents, tokenizer, false, max_length, "t").at(0);
  };
  const EncodedDocument whole = encoded(7);
  CHECK(whole.choices[0].ids == Ids{'a', 'b', 'c', 'd', 'e', 'f', 'x', 'y'});
  CHECK(whole.choices[0].scored == 2);
  CHECK(whole.cut);  // the third: one of the six too many
  CHECK_FALSE(encoded(9).cut);
  CHECK(whole.lengths == std::vector<int64_t>{2, 3, 4});
  const EncodedDocument cut = encoded(4);
  CHECK(cut.choices[0].ids == Ids{'d', 'e', 'f', 'x', 'y'});
  CHECK(cut.choices[1].ids == Ids{'a', 'b', 'x', 'y', 'z'});
  CHECK(cut.choices[2].ids == Ids{'f', 'w', 'x', 'y', 'z'});
  CHECK(cut.choices[2].scored == 4);
  expect_input_error({"d.jsonl:4:", "continuation of 4 tokens", "the 3 "}, [&] { encoded(3); });
}

TEST_CASE("scores are those of separate forward passes, whatever the choices share") {
  const TinyModel model;
  const std::vector<EncodedDocument> documents = {
      document_of({{{5, 6, 7}, {8}}, {{5, 6, 7}, {9}}}),                // one run
      document_of({{{5, 6, 7}, {8, 9, 10}}, {{5, 6, 7}, {8, 9, 11}}}),  // one branch
      document_of({{{5, 6, 7}, {8, 9}}, {{5, 6, 7}, {8}}, {{5, 6, 7}, {1, 2, 3}}}),
      document_of({{{5, 6, 7, 20}, {8, 9}}, {{5, 6, 21, 22}, {8, 9}}}),  // as winogrande
      document_of({{{5, 6}, {7, 8}}, {{5, 6, 7}, {8}}}),         // one text, cut at two places
      document_of({{{5, 6, 7}, {8, 9}}, {{6, 7}, {8, 9, 10}}}),  // nothing shared
      document_of({{{5}, {5}}, {{5}, {5}}}),
  };
  const auto scores = score_choices(model.decoder(), documents, 0, {});
  REQUIRE(scores.size() == documents.size());
  for (size_t d = 0; d < documents.size(); ++d) {
    for (size_t c = 0; c < documents[d].choices.size(); ++c) {
      INFO("document " << d << ", choice " << c);
      const ChoiceScore expected = separate_score(model.decoder(), documents[d].choices[c]);
      // Both in fp32, sums of a few tokens around -5.
      CHECK(std::abs(scores[d][c].loglikelihood - expected.loglikelihood) <= 1e-5);
      CHECK(scores[d][c].is_greedy == expected.is_greedy);
    }
  }
  CHECK(scores[6][0].loglikelihood == scores[6][1].loglikelihood);
}

TEST_CASE("a greedy continuation is known as one") {
  const TinyModel model;
  Ids ids = {3, 14, 15};
  for (int i = 0; i < 3; ++i) {
    const at::Tensor row = at::tensor(at::ArrayRef<int32_t>(ids), at::kInt).unsqueeze(0);
    ids.push_back(static_cast<int32_t>(
        forward_full(model.decoder(), row, false).logits[0][-1].argmax().item<int64_t>()));
  }
  const Ids greedy(ids.begin() + 3, ids.end());
  Ids other = greedy;
  other[1] = (other[1] + 1) % 48;
  const std::vector<EncodedDocument> documents = {
      document_of({{{3, 14, 15}, greedy}, {{3, 14, 15}, other}})};
  const auto scores = score_choices(model.decoder(), documents, 0, {});
  CHECK(scores[0][0].is_greedy);
  CHECK_FALSE(scores[0][1].is_greedy);
}

TEST_CASE("progress counts documents, and numbers that overflow are an error") {
  TinyModel model;
  std::vector<EncodedDocument> documents;
  for (int i = 0; i < 5; ++i) documents.push_back(document_of({{{5, i}, {8}}, {{5, i}, {9}}}));
  std::vector<int64_t> done;
  score_choices(model.decoder(), documents, 2, [&](int64_t n, int64_t total) {
    CHECK(total == 5);
    done.push_back(n);
  });
  CHECK(done == std::vector<int64_t>{2, 4, 5});
  Decoder& decoder = model.decoder();
  decoder.set_head(std::make_shared<DenseLinear>(dense_weight(decoder.head()) * 1e38));
  expect_error(ExitCode::kNumerics, {"log-likelihood of document 0"},
               [&] { score_choices(model.decoder(), documents, 0, {}); });
}

TEST_CASE("the best choice: the first of equals, lengths in characters") {
  const EncodedDocument document{.lengths = {10, 20, 10}};
  const auto scores = [](double a, double b, double c) {
    return DocumentScores{{.loglikelihood = a}, {.loglikelihood = b}, {.loglikelihood = c}};
  };
  CHECK(best_choice(document, scores(-3, -2, -2), false) == 1);
  CHECK(best_choice(document, scores(-3, -5, -3), false) == 0);
  CHECK(best_choice(document, scores(-3, -5, -3), true) == 1);
  CHECK(best_choice(document, scores(-3, -6, -3), true) == 0);
  // An empty choice, as the harness has it: -x / 0.
  CHECK(best_choice({.lengths = {0, 3, 3}}, scores(-1, -9, -8), true) == 2);
}

TEST_CASE("standard error of an accuracy") {
  CHECK(accuracy_stderr(1.0 / 6, 60) == Approx(0.0485185424783).epsilon(1e-9));
  CHECK(accuracy_stderr(0.25, 60) == Approx(0.0563734521).epsilon(1e-9));
  CHECK(accuracy_stderr(1, 60) == 0);
  CHECK(accuracy_stderr(1, 1) == 0);
}
