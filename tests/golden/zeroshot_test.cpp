// The seven zero-shot tasks against lm-evaluation-harness 0.4.8 (zeroshot_data/README.md), and that
// batches and threads change nothing.
#include <ATen/Parallel.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>

#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"
#include "littlebit/core/write_file.h"
#include "littlebit/eval/choice_data.h"
#include "littlebit/eval/choice_documents.h"
#include "littlebit/eval/choice_requests.h"
#include "littlebit/eval/choice_scores.h"
#include "littlebit/eval/choice_task.h"
#include "littlebit/eval/few_shot.h"
#include "littlebit/eval/model.h"
#include "littlebit/eval/tasks.h"
#include "littlebit/io/json.h"
#include "littlebit/tokenizer/folder.h"
#include "support/paths.h"
#include "temp_folder.h"
#include "unit/eval/sha256.h"

using namespace littlebit;
namespace fs = std::filesystem;

namespace {

const fs::path kSource = littlebit::test::kSourceDir;
const fs::path kGolden = kSource / "tests" / "golden";
const fs::path kData = kGolden / "zeroshot_data";

constexpr const char* kSeven[] = {"arc_challenge", "arc_easy", "boolq",     "hellaswag",
                                  "openbookqa",    "piqa",     "winogrande"};

struct Subject {
  EvalModel model;
  std::unique_ptr<Tokenizer> tokenizer;
  fs::path golden;

  Subject(const fs::path& folder, fs::path scores)
      : model(folder, at::kFloat, at::kCPU),
        tokenizer(load_tokenizer(folder)),
        golden(std::move(scores)) {}
  const Decoder& decoder() const { return model.decoder(); }

  std::vector<EncodedDocument> encoded(const std::string& task, int64_t limit,
                                       int64_t max_length) const {
    const fs::path file = kData / (task + ".jsonl");
    return encode_documents(read_choice_documents(load_choice_task(task, ""), file, limit),
                            *tokenizer, false, max_length, task);
  }
};

Subject wiki_llama() {
  return {kSource / "data" / "wiki-llama-5m", kGolden / "zeroshot_wiki_llama"};
}

bool close(double a, double b, double tolerance) {
  return std::abs(a - b) <= tolerance * std::max(1.0, std::abs(b));
}

// Another order of summation moves scores by 4e-7 of themselves between us and the harness, by up
// to 3.5e-5 between two batch sizes of the harness; a wrong id, space or BOS moves them by 0.1 and
// more. Choices nearer to each other than kNearTie may change places.
constexpr double kTolerance = 1e-4, kNearTie = 3e-4;

// The distance of the best two scores.
double margin(const Json& sample, const EncodedDocument& document, bool normalised) {
  std::vector<double> values;
  for (size_t c = 0; c < document.lengths.size(); ++c) {
    const double length = normalised ? static_cast<double>(document.lengths[c]) : 1;
    values.push_back(sample.at("loglikelihoods")[c].get<double>() / length);
  }
  std::sort(values.rbegin(), values.rend());
  return values[0] - values[1];
}

void check_sample(const Json& sample, const Json& expected) {
  CHECK(sample.at("index") == expected.at("index"));
  CHECK(sample.at("gold") == expected.at("gold"));
  CHECK(sample.contains("acc_norm") == expected.contains("acc_norm"));
  if (expected.at("margin").get<double>() > kNearTie) {
    CHECK(sample.at("acc") == expected.at("acc"));
  }
  if (expected.contains("acc_norm") && expected.at("margin_norm").get<double>() > kNearTie) {
    CHECK(sample.at("acc_norm") == expected.at("acc_norm"));
  }
  REQUIRE(sample.at("loglikelihoods").size() == expected.at("choices").size());
  for (size_t c = 0; c < expected.at("choices").size(); ++c) {
    CHECK(close(sample.at("loglikelihoods")[c].get<double>(),
                expected.at("choices")[c].at("loglikelihood").get<double>(), kTolerance));
  }
}

void check_requests(const EncodedDocument& document, const DocumentScores& scores,
                    const Json& expected) {
  for (size_t c = 0; c < expected.at("choices").size(); ++c) {
    const Json& choice = expected.at("choices")[c];
    const ChoiceRequest& request = document.choices[c];
    CHECK(scores[c].is_greedy == choice.at("is_greedy").get<bool>());
    const auto want = choice.at("continuation_ids").get<std::vector<int32_t>>();
    CHECK(std::vector<int32_t>(request.ids.end() - request.scored, request.ids.end()) == want);
    CHECK(request.ids.size() - want.size() == choice.at("context_tokens").get<size_t>());
  }
}

// One task over all its records, as littlebit-eval runs it.
void check_task(const Subject& subject, const std::string& name) {
  INFO(name);
  const Json golden = read_json_file(subject.golden / (name + ".json"));
  const ModelSpec& spec = subject.decoder().spec();
  CHECK(golden.at("max_length") == spec.max_positions);
  const EvalOptions options{.tasks = {name}, .data_root = kData};
  const auto tasks = prepare_tasks(read_tasks(options), {options, *subject.tokenizer, spec});
  REQUIRE(tasks.size() == 1);
  std::vector<Json> samples;
  const TaskResult result =
      tasks[0]->run(subject.decoder(), [&](const Json& line) { samples.push_back(line); });
  REQUIRE(samples.size() == 60);
  const std::vector<EncodedDocument> documents = subject.encoded(name, 0, spec.max_positions);
  const auto scores = score_choices(subject.decoder(), documents, 8, {});
  for (const Json& expected : golden.at("docs")) {
    const size_t d = expected.at("index").get<size_t>();
    INFO("document " << d);
    CHECK(samples.at(d).at("task") == name);
    check_sample(samples.at(d), expected);
    check_requests(documents.at(d), scores.at(d), expected);
  }

  CHECK(result.protocol == "lm_eval_0.4.8");
  CHECK(result.count("documents") == 60);
  const Json& figures = golden.at("figures");
  CHECK(result.metrics.size() + 1 == figures.size());
  for (const char* metric : {"acc", "acc_norm"}) {
    if (!figures.contains(metric)) continue;
    int64_t near_ties = 0;
    for (size_t d = 0; d < 60; ++d) {
      near_ties += margin(samples[d], documents[d], metric == std::string("acc_norm")) < kNearTie;
    }
    INFO(metric << ", near ties: " << near_ties);
    const double want = figures.at(metric).get<double>(), got = result.metric(metric);
    CHECK(std::abs(got - want) <= static_cast<double>(near_ties) / 60 + 1e-9);
    const std::string error = std::string(metric) + "_stderr";
    if (got == want) {
      CHECK(result.metric(error) == Approx(figures.at(error).get<double>()).epsilon(1e-9));
    }
  }
}

void check_equal(const std::vector<DocumentScores>& got, const std::vector<DocumentScores>& want) {
  REQUIRE(got.size() == want.size());
  for (size_t d = 0; d < got.size(); ++d) {
    for (size_t c = 0; c < got[d].size(); ++c) {
      INFO("document " << d << ", choice " << c << ": " << got[d][c].loglikelihood << ", "
                       << want[d][c].loglikelihood);
      CHECK(close(got[d][c].loglikelihood, want[d][c].loglikelihood, 1e-5));
      CHECK(got[d][c].is_greedy == want[d][c].is_greedy);
    }
  }
}

}  // namespace

TEST_CASE("zero-shot: every log-likelihood and figure of the harness", "[zeroshot]") {
  const Subject subject = wiki_llama();
  for (const char* name : kSeven) check_task(subject, name);
}

TEST_CASE("few-shot: the harness's examples, texts and figures", "[zeroshot]") {
  const Subject subject = wiki_llama();
  const Json golden = read_json_file(subject.golden / "fewshot.json");
  REQUIRE(golden.at("cases").size() == 18);
  for (const Json& expected : golden.at("cases")) {
    const auto name = expected.at("task").get<std::string>();
    const auto shots = expected.at("num_fewshot").get<int64_t>();
    INFO(name << ", " << shots << " examples of " << expected.at("examples"));
    // The harness's pool: the first records of the documents themselves.
    const TempFolder temp;
    const std::string records = read_file(kData / (name + ".jsonl"));
    write_file(temp / (name + ".jsonl"), records);
    std::vector<std::string> lines = split(records, '\n');
    lines.resize(expected.at("examples").get<size_t>());
    write_file(temp / (name + "_train.jsonl"), join(lines, "\n") + "\n");

    const ChoiceTask task = load_choice_task(name, "");
    FewShotExamples examples(task, find_example_data(task, temp.path()), shots);
    const auto documents =
        read_choice_documents(task, temp / (name + ".jsonl"), 0, shots > 0 ? &examples : nullptr);
    std::string texts;
    for (const ChoiceDocument& document : documents) {
      for (const Choice& choice : document.choices) {
        texts += choice.context + '\0' + choice.continuation + '\0';
      }
    }
    CHECK(test::sha256(texts) == expected.at("sha256_of_texts").get<std::string>());

    // The longest are slow, and say nothing that the shorter ones do not.
    if (shots == 5 && name != "winogrande" && name != "openbookqa") continue;
    const EvalOptions options{.tasks = {name}, .data_root = temp.path(), .num_fewshot = shots};
    const auto tasks =
        prepare_tasks(read_tasks(options), {options, *subject.tokenizer, subject.decoder().spec()});
    std::vector<Json> samples;
    const TaskResult result =
        tasks.at(0)->run(subject.decoder(), [&](const Json& line) { samples.push_back(line); });
    CHECK(result.protocol ==
          (shots == 0 ? "lm_eval_0.4.8" : "lm_eval_0.4.8@" + std::to_string(shots) + "shot"));
    CHECK(result.count("documents") == expected.at("documents").get<int64_t>());
    for (size_t d = 0; d < expected.at("loglikelihoods").size(); ++d) {
      for (size_t c = 0; c < expected.at("loglikelihoods")[d].size(); ++c) {
        CHECK(close(samples.at(d).at("loglikelihoods").at(c).get<double>(),
                    expected.at("loglikelihoods")[d][c].get<double>(), kTolerance));
      }
    }
    for (const auto& [metric, value] : expected.at("figures").items()) {
      CHECK(result.metric(metric) == Approx(value.get<double>()).epsilon(1e-4));
    }
  }
}

TEST_CASE("zero-shot: batch size, order and threads change nothing", "[zeroshot]") {
  const Subject subject = wiki_llama();
  const int threads = at::get_num_threads();
  for (const std::string name : kSeven) {
    INFO(name);
    // 96 positions: boolq and hellaswag are cut in front, so that choices share less.
    for (const int64_t max_length : {1024, 96}) {
      if (max_length == 96 && name != "boolq" && name != "hellaswag") continue;
      std::vector<EncodedDocument> documents = subject.encoded(name, 12, max_length);
      at::set_num_threads(1);
      const auto one = score_choices(subject.decoder(), documents, 1, {});
      check_equal(score_choices(subject.decoder(), documents, 8, {}), one);
      at::set_num_threads(2);
      check_equal(score_choices(subject.decoder(), documents, 0, {}), one);
      std::reverse(documents.begin(), documents.end());
      auto reversed = score_choices(subject.decoder(), documents, 5, {});
      std::reverse(reversed.begin(), reversed.end());
      check_equal(reversed, one);
    }
  }
  at::set_num_threads(threads);
}

TEST_CASE("zero-shot: SmolLM2-135M", "[zeroshot][smollm2]") {
  const char* folder = std::getenv("LITTLEBIT_SMOLLM2");
  if (folder == nullptr) {
    std::cout << "skipped: SmolLM2-135M; LITTLEBIT_SMOLLM2 names the folder that "
                 "tests/bench/compare/make_smollm2.py made\n";
    return;
  }
  const Subject subject(folder, kGolden / "zeroshot_smollm2");
  for (const Json& each : read_json_file(subject.golden / "text_cases.json").at("encode_pair")) {
    const TokenPair pair = encode_pair(*subject.tokenizer, each.at("context").get<std::string>(),
                                       each.at("continuation").get<std::string>(), false);
    CHECK(Json(pair.context) == each.at("context_ids"));
    CHECK(Json(pair.continuation) == each.at("continuation_ids"));
  }
  const Json truncated = read_json_file(subject.golden / "boolq_truncated.json");
  const auto documents = subject.encoded("boolq", 60, truncated.at("max_length").get<int64_t>());
  const auto scores = score_choices(subject.decoder(), documents, 0, {});
  for (const Json& expected : truncated.at("docs")) {
    const size_t d = expected.at("index").get<size_t>();
    for (size_t c = 0; c < 2; ++c) {
      const Json& choice = expected.at("choices")[c];
      std::vector<int32_t> ids = documents[d].choices[c].ids;
      ids.pop_back();
      CHECK(Json(ids) == choice.at("input_ids"));
      CHECK(
          close(scores[d][c].loglikelihood, choice.at("loglikelihood").get<double>(), kTolerance));
      CHECK(scores[d][c].is_greedy == choice.at("is_greedy").get<bool>());
    }
  }
  for (const char* name : kSeven) check_task(subject, name);
}
