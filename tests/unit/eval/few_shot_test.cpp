// Few-shot examples, amounts and forms of task data, apart from what tests/golden compares with the
// harness.
#include "littlebit/eval/few_shot.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <nlohmann/json.hpp>

#include "../../../src/eval/bootstrap.h"
#include "../../../src/eval/python_random.h"
#include "littlebit/core/write_file.h"
#include "littlebit/eval/choice_documents.h"
#include "littlebit/eval/choice_task.h"
#include "littlebit/eval/options.h"
#include "littlebit/eval/tasks.h"
#include "temp_folder.h"
#include "unit/io/expect_error.h"

using namespace littlebit;
using littlebit::test::expect_error;
using littlebit::test::expect_input_error;

namespace {

using Places = std::vector<uint32_t>;

constexpr char kTask[] = R"(
source: {file: sums.jsonl}
prompt:
  description: "Sums{subject|spaced}.\n"
  context: "{sum} ="
  choices: "{results}"
answer: {gold: "{answer}"}
)";

std::string record(int i, const std::string& subject = "") {
  return "{\"sum\": \"" + std::to_string(i) + " + 1\", \"results\": [\"" + std::to_string(i + 1) +
         "\", \"no\"], \"answer\": 0, \"subject\": \"" + subject + "\"}\n";
}

std::string example(int i) {
  return std::to_string(i) + " + 1 = " + std::to_string(i + 1) + "\n\n";
}

struct Scene {
  TempFolder temp;
  ChoiceTask task;
  explicit Scene(const std::string& rules = "")
      : task(parse_choice_task(kTask + rules, "sums", "t.yaml")) {}

  std::vector<std::string> contexts(const std::string& data, const std::string& pool, int64_t count,
                                    double limit = 0) const {
    write_file(temp / "data.jsonl", data);
    write_file(temp / "pool.jsonl", pool);
    FewShotExamples examples(task, temp / "pool.jsonl", count);
    std::vector<std::string> contexts;
    for (const ChoiceDocument& document :
         read_choice_documents(task, temp / "data.jsonl", limit, &examples)) {
      contexts.push_back(document.choices[0].context);
    }
    return contexts;
  }
};

}  // namespace

TEST_CASE("Python's random.sample and random.random") {
  // random.Random(1234).sample(range(n), k), then again of the same generator (CPython 3.11).
  PythonRandom set(1234);
  CHECK(set.sample(60, 5) == Places{49, 28, 7, 0, 5});
  CHECK(set.sample(60, 6) == Places{58, 51, 37, 2, 42, 44});
  PythonRandom pool(1234);
  CHECK(pool.sample(15, 3) == Places{12, 7, 1});
  CHECK(pool.sample(21, 5) == Places{0, 2, 18, 1, 19});
  CHECK(pool.sample(22, 5) == Places{3, 11, 7, 0, 20});
  CHECK(pool.sample(85, 20) ==
        Places{79, 61, 78, 59, 19, 11, 23, 14, 1, 64, 62, 31, 8, 69, 81, 72, 84, 65, 5, 34});
  CHECK(pool.sample(3, 3) == Places{2, 0, 1});
  CHECK(pool.sample(1, 0).empty());
  PythonRandom seven(7);
  CHECK(seven.real() == 0.32383276483316237);
  CHECK(seven.real() == 0.15084917392450192);
}

TEST_CASE("the bootstrapped error of a perplexity") {
  const std::vector<double> scores = {-1.5, -0.25, -3, -2.125, -0.5};
  CHECK(perplexity_of(scores) == Approx(std::exp(1.475)));
  CHECK(perplexity_stderr(scores) ==
        Approx(2.353204898464869).epsilon(1e-10));  // the harness's function
  CHECK(perplexity_stderr(std::vector<double>{-1}) == 0);
}

TEST_CASE("examples stand behind the description, and none is the document itself") {
  const Scene scene("examples: {sampler: first, spare: 1}\n");
  const std::string data = record(0) + record(9);
  const std::string pool = record(0) + record(1) + record(2);
  CHECK(scene.contexts(data, pool, 2) ==
        std::vector<std::string>{"Sums.\n" + example(1) + example(2) + "0 + 1 =",
                                 "Sums.\n" + example(0) + example(1) + "9 + 1 ="});
  const Scene bare("examples: {sampler: first, spare: 0}\n");
  CHECK(bare.contexts(data, pool, 2)[0] == "Sums.\n" + example(1) + "0 + 1 =");
}

TEST_CASE("examples of a document's own group, with a delimiter of their own") {
  const Scene scene("examples: {sampler: first, spare: 0, group: '{subject}', delimiter: '->'}\n");
  const std::string pool = record(0, "_a") + record(1, "_b") + record(2, "_a") + record(3, "_b");
  CHECK(scene.contexts(record(8, "_b"), pool, 2)[0] ==
        "Sums b.\n1 + 1 =->2\n\n3 + 1 =->4\n\n8 + 1 =");
  expect_input_error({"2 examples are to be drawn", "pool.jsonl has 0 of the group '_c'"},
                     [&] { scene.contexts(record(8, "_c"), pool, 2); });
}

TEST_CASE("a group's draws do not depend on the other groups") {
  const std::string rules = "examples: {spare: 1, group: '{subject}'}\n";
  std::string alone, mixed, documents, other;
  for (int i = 0; i < 30; ++i) alone += record(i, "_a");
  for (int i = 0; i < 30; ++i) mixed += record(i, "_a") + record(i, "_b");
  for (int i = 40; i < 44; ++i) documents += record(i, "_a");
  for (int i = 40; i < 44; ++i) other += record(i, "_b") + record(i, "_a");
  const Scene scene(rules);
  const auto want = scene.contexts(documents, alone, 3), all = scene.contexts(other, mixed, 3);
  for (size_t i = 0; i < 4; ++i) CHECK(all[2 * i + 1] == want[i]);
}

TEST_CASE("examples that are wrong: told when they are drawn") {
  const Scene scene("examples: {sampler: first, spare: 0}\n");
  const std::string broken =
      "{\"sum\": \"1\", \"results\": [\"2\"], \"answer\": 0, \"subject\": \"\"}\n";
  CHECK(scene.contexts(record(5), record(1) + broken, 1).size() == 1);
  expect_input_error({"pool.jsonl:2: there are 1 choices"},
                     [&] { scene.contexts(record(5), record(1) + broken, 2); });
  expect_input_error({"3 examples are to be drawn", "has 2"},
                     [&] { scene.contexts(record(5), record(1) + broken, 3); });
  expect_input_error({"pool.jsonl:1:", "not valid JSON"},
                     [&] { scene.contexts(record(5), "{oops\n", 1); });
}

TEST_CASE("eval.limit: a number, or a share rounded up as the harness does") {
  CHECK(limited(0, 7) == 7);
  CHECK(limited(3, 7) == 3);
  CHECK(limited(1, 7) == 1);
  CHECK(limited(9, 7) == 7);
  CHECK(limited(0.1, 7) == 1);
  CHECK(limited(0.5, 7) == 4);
  CHECK(limited(0.1, 30) == 3);
  CHECK(limited(0.07, 100) == 8);  // 7.000000000000001 in double
  CHECK(limited(0.999, 7) == 7);
  CHECK(limited(0.5, 0) == 0);
  const Scene scene("examples: {sampler: first}\n");
  std::string data;
  for (int i = 0; i < 10; ++i) data += record(i);
  CHECK(scene.contexts(data, data, 1, 0.25).size() == 3);
  CHECK(scene.contexts(data, data, 1, 4).size() == 4);
}

TEST_CASE("amounts that mean nothing are refused, and examples that nobody takes") {
  EvalOptions options{.tasks = {"boolq"}};
  const auto refused = [&](const std::vector<std::string>& words) {
    expect_error(ExitCode::kUsage, words, [&] { read_tasks(options); });
  };
  options.limit = 2.5;
  refused({"eval.limit 2.5"});
  options.limit = 0.5;
  read_tasks(options);
  for (const char* batch : {"", "all", "-1", "1.5", "8 ", "Auto", "9999999"}) {
    options.batch_size = batch;
    refused({"eval.batch_size '" + std::string(batch) + "' is not a number of sequences"});
  }
  options.batch_size = "auto";
  options.num_fewshot = 3;
  read_tasks(options);
  options.tasks = {"wikitext2", "boolq"};
  read_tasks(options);
  options.tasks = {"wikitext2"};
  refused({"eval.num_fewshot", "none of the tasks takes examples"});
}

TEST_CASE("task data as a JSON array, packed or not") {
  const Scene scene;
  write_file(scene.temp / "a.json", "\xEF\xBB\xBF \n[" + record(1) + ",\n" + record(2) + "]\n");
  CHECK(read_choice_documents(scene.task, scene.temp / "a.json", 0).at(1).choices[0].context ==
        "Sums.\n2 + 1 =");
  const auto refused = [&](const std::string& text, const std::vector<std::string>& words) {
    write_file(scene.temp / "a.json", text);
    expect_input_error(words, [&] { read_choice_documents(scene.task, scene.temp / "a.json", 0); });
  };
  refused("[" + record(1) + ", 7]", {"a.json: record 2: expected a JSON object, found number"});
  refused("[{\"sum\": \"x\"}]", {"a.json: record 1: there is no field 'results'"});
  refused("[" + record(1), {"a.json:", "not valid JSON"});
  refused("[]", {"it holds no documents"});
  refused("{\n\"data\": []}", {"JSON object over several lines"});
}
