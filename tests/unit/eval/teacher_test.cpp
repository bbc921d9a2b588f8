// The shipped teacher and stories260K against what transformers and a double-precision program
// gave.
#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "littlebit/core/read_file.h"
#include "littlebit/eval/model.h"
#include "littlebit/eval/perplexity.h"
#include "littlebit/eval/tasks.h"
#include "littlebit/io/json.h"
#include "littlebit/models/forward.h"
#include "littlebit/tokenizer/folder.h"
#include "littlebit/tokenizer/tokenizer.h"
#include "support/paths.h"

using namespace littlebit;

namespace {

namespace fs = std::filesystem;

const fs::path kSource = littlebit::test::kSourceDir;
const fs::path kTeacher = kSource / "data" / "wiki-llama-5m";

at::Tensor row_of(const Json& ids) {
  return at::tensor(ids.get<std::vector<int64_t>>(), at::kLong).unsqueeze(0);
}

}  // namespace

TEST_CASE("the teacher's ids, logits and greedy continuation") {
  const Json expected = read_json_file(kTeacher / "expected.json");
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(kTeacher);
  const auto prompt = expected.at("prompt_text").get<std::string>();
  const auto want_ids = expected.at("input_ids").get<std::vector<int32_t>>();
  CHECK(tokenizer->encode(prompt, true) == want_ids);

  const EvalModel model(kTeacher, at::kFloat, at::kCPU);
  CHECK_FALSE(model.packed());
  Json ids = expected.at("input_ids");
  const size_t length = ids.size();
  for (const Json& id : expected.at("greedy_ids")) ids.push_back(id);
  const at::Tensor logits = forward_full(model.decoder(), row_of(ids), false).logits[0];
  for (size_t t = 0; t < length; ++t) {
    for (size_t i = 0; i < 8; ++i) {
      const double want = expected.at("logits_first8")[t][i].get<double>();
      CHECK(std::abs(logits[t][i].item<double>() - want) <= 5e-4);  // six decimals, other kernels
    }
    CHECK(logits[t].argmax().item<int64_t>() == expected.at("logits_argmax")[t].get<int64_t>());
  }
  // The smallest margin between first and second choice is 0.0055.
  for (size_t t = length - 1; t + 1 < ids.size(); ++t) {
    CHECK(logits[t].argmax().item<int64_t>() == ids[t + 1].get<int64_t>());
  }
}

namespace {

// expected.json has both splits in chunks of two lengths.
void check_perplexity(const std::string& split, int64_t chunk) {
  INFO(split << " in chunks of " << chunk);
  const Json expected = read_json_file(kTeacher / "expected.json").at("perplexity").at(split);
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(kTeacher);
  const EvalModel model(kTeacher, at::kFloat, at::kCPU);
  check_vocabulary(*tokenizer, model.decoder().spec().vocab_size);
  const fs::path file = kSource / "data" / "wikitext2" / ("wiki." + split + ".raw");
  const std::vector<int32_t> ids = tokenizer->encode(read_file(file), true);
  CHECK(static_cast<int64_t>(ids.size()) == expected.at("tokens").get<int64_t>());
  const Json& want = expected.at("chunk" + std::to_string(chunk));
  const TaskResult got = chunk_perplexity(model.decoder(), ids, {.sequence_length = chunk}, {});
  CHECK(got.count("chunks") == want.at("chunks").get<int64_t>());
  CHECK(got.count("chunks") * (chunk - 1) == want.at("predicted_tokens").get<int64_t>());
  CHECK(std::abs(got.metric("perplexity") - want.at("perplexity").get<double>()) < 1e-3);
  CHECK(std::abs(got.metric("nll") - want.at("nll").get<double>()) < 1e-5);
}

}  // namespace

TEST_CASE("the teacher's perplexity on WikiText-2") {
  check_perplexity("valid", 512);
  check_perplexity("test", 1024);
}

TEST_CASE("the teacher's perplexity on WikiText-2, the other length of each text", "[.][long]") {
  check_perplexity("valid", 1024);
  check_perplexity("test", 512);
}

TEST_CASE("stories260K: the most likely next id is the reference's at every position") {
  const fs::path folder = kSource / "tests" / "golden" / "stories260k";
  const Json reference = read_json_file(folder / "reference_greedy.json");
  const Json& ids = reference.at("ids");
  const EvalModel model(folder, at::kFloat, at::kCPU);
  const at::Tensor logits = forward_full(model.decoder(), row_of(ids), false).logits[0];
  const at::Tensor log_p = at::log_softmax(logits.to(at::kDouble), -1);
  for (size_t t = 0; t + 1 < ids.size(); ++t) {
    const auto next = ids[t + 1].get<int64_t>();
    CHECK(logits[t].argmax().item<int64_t>() == next);
    const double want = reference.at("nll_next")[t].get<double>();
    CHECK(std::abs(-log_p[t][next].item<double>() - want) < 1e-4);
  }
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(folder);
  const auto text = reference.at("text").get<std::string>();
  CHECK(tokenizer->encode(text, true) == ids.get<std::vector<int32_t>>());
}
