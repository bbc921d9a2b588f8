// Rolling log-likelihoods against lm-evaluation-harness's functions run by transformers.
#include "littlebit/eval/rolling.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <nlohmann/json.hpp>

#include "byte_task_input.h"
#include "littlebit/core/error.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"
#include "littlebit/core/write_file.h"
#include "littlebit/eval/model.h"
#include "littlebit/eval/wikitext_pages.h"
#include "littlebit/tokenizer/folder.h"
#include "sha256.h"
#include "support/paths.h"
#include "support/tiny_model.h"
#include "unit/io/expect_error.h"

using namespace littlebit;
using namespace littlebit::test;

namespace {

namespace fs = std::filesystem;

const fs::path kSource = kSourceDir;

Json golden() { return read_json_file(kSource / "tests" / "golden" / "rolling" / "rolling.json"); }
std::vector<std::string> test_pages() {
  return wikitext_pages(read_file(kSource / "data" / "wikitext2" / "wiki.test.raw"));
}

}  // namespace

TEST_CASE("pages of WikiText-2, their words and bytes, and their text made whole again") {
  const Json want = golden();
  const std::vector<std::string> pages = test_pages();
  REQUIRE(pages.size() == want.at("pages").get<size_t>());
  std::vector<std::string> texts;
  for (size_t i = 0; i < pages.size(); ++i) {
    INFO("page " << i);
    CHECK(count_words(pages[i]) == want.at("words")[i].get<int64_t>());
    CHECK(static_cast<int64_t>(pages[i].size()) == want.at("bytes")[i].get<int64_t>());
    texts.push_back(detokenized_wikitext(pages[i]));
  }
  CHECK(sha256(join(texts, std::string_view("\0", 1))) ==
        want.at("sha256_of_texts").get<std::string>());
}

TEST_CASE("words are what stands between runs of white space") {
  CHECK(count_words("") == 1);
  CHECK(count_words("a") == 1);
  CHECK(count_words(" a \n\n b\u00a0\u2003c ") == 5);  // Python counts the empty ends
}

TEST_CASE("every token is predicted once, by windows of at most that length") {
  const auto windows = [](int64_t tokens, int64_t length) {
    std::vector<std::array<int64_t, 3>> plain;
    for (const RollingWindow& window : rolling_windows(tokens, length)) {
      plain.push_back({window.first, window.length, window.predicted});
    }
    return plain;
  };
  using Plain = std::vector<std::array<int64_t, 3>>;  // in CHECK within parentheses: c10 prints
                                                      // vectors, but not of arrays
  CHECK((windows(0, 4) == Plain{}));
  CHECK((windows(3, 4) == Plain{{0, 3, 3}}));
  CHECK((windows(4, 4) == Plain{{0, 4, 4}}));
  CHECK((windows(10, 4) == Plain{{0, 4, 4}, {4, 4, 4}, {6, 4, 2}}));  // the last with more context
}

TEST_CASE("log-likelihoods of the shipped teacher are the harness's") {
  const Json want = golden().at("loglikelihoods");
  const fs::path folder = kSource / "data" / "wiki-llama-5m";
  const auto tokenizer = load_tokenizer(folder);
  const EvalModel model(folder, at::kFloat, at::kCPU);
  const std::vector<std::string> pages = test_pages();
  for (const auto& [length, scores] : want.items()) {
    std::vector<RollingDocument> documents;
    for (size_t i = 0; i < 2; ++i) {  // of the four that are there: time
      documents.push_back({.ids = tokenizer->encode(detokenized_wikitext(pages[i]), false)});
      documents.back().ids.insert(documents.back().ids.begin(), *tokenizer->bos_id());
    }
    const std::vector<double> got =
        rolling_loglikelihoods(model.decoder(), documents, std::stoll(length), 0, {});
    for (size_t i = 0; i < documents.size(); ++i) {
      CHECK(got[i] == Approx(scores[i].get<double>()).epsilon(1e-5));  // fp32, other kernels
    }
  }
}

TEST_CASE("the task rolling: one's own documents, figures per word and byte, any batch size") {
  const TempFolder temp;
  write_tiny_llama(temp.path(), {.vocabulary = 257});
  write_file(temp / "mine.jsonl",
             "{\"text\": \"one two\"}\n{\"text\": \"\"}\n{\"text\": \"d\u00e9j\u00e0 vu\"}\n");
  const EvalModel model(temp.path(), at::kFloat, at::kCPU);
  ByteTaskInput input(temp.path(), temp / "mine.jsonl");
  input.spec = model.decoder().spec();
  input.options.tasks = {"rolling"};
  input.options.sequence_length = 5;
  const auto run = [&] {
    const auto tasks = prepare_tasks(read_tasks(input.options), input);
    REQUIRE(tasks.size() == 1);  // not `text` too
    return tasks[0]->run(model.decoder(), {});
  };
  const TaskResult result = run();
  CHECK(result.protocol == "rolling@5");
  CHECK(result.count("documents") == 3);
  CHECK(result.count("words") == 5);
  CHECK(result.count("bytes") == 16);
  CHECK(result.count("tokens") == 16);
  const double nll = result.metric("bits_per_byte") * std::log(2) * 16;
  CHECK(result.metric("word_perplexity") == Approx(std::exp(nll / 5)));
  CHECK(result.metric("byte_perplexity") == Approx(std::exp(nll / 16)));
  input.options.batch_size = "1";
  CHECK(run().metric("bits_per_byte") == Approx(result.metric("bits_per_byte")).epsilon(1e-6));
  input.options.limit = 1;
  CHECK(run().count("documents") == 1);
  input.options.text.clear();
  expect_error(ExitCode::kInput, {"task rolling", "wiki.test.raw"}, run);
  write_file(temp / "wiki.test.raw", " \n = One = \n \n a , b \n = Two = \n \n c \n");
  input.options.limit = 0;
  CHECK(run().count("documents") == 2);
}
