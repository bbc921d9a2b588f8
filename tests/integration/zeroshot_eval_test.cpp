// Multiple-choice tasks through littlebit-eval as a user runs it: figures, samples, a task of one's
// own, and wrong input.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "integration/program.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"
#include "littlebit/core/write_file.h"
#include "littlebit/io/json.h"
#include "support/paths.h"

using namespace littlebit;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

const fs::path kSource = littlebit::test::kSourceDir;
const std::string kTeacher = (kSource / "data" / "wiki-llama-5m").string();
const std::string kData = (kSource / "tests" / "golden" / "zeroshot_data").string();

test::Outcome eval(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"--model", kTeacher});
  return test::run_program("littlebit-eval", arguments);
}

constexpr char kTask[] = R"(
source: {file: piqa.jsonl}
prompt:
  context: "{goal}"
  choices: ["{sol1|strip}", "{sol2|strip}"]
answer: {gold: "{label}"}
)";

}  // namespace

TEST_CASE("zero-shot tasks: table, results.json, samples in the data's order") {
  const TempFolder temp;
  write_file(temp / "mine.yaml", kTask);
  const fs::path results = temp / "out" / "results.json", samples = temp / "out" / "samples.jsonl";
  const test::Outcome outcome =
      eval({"--tasks", "winogrande,piqa," + (temp / "mine.yaml").string(), "--data-root", kData,
            "--limit", "6", "--output", results.string(), "--samples", samples.string()});
  INFO(outcome.err);
  REQUIRE(outcome.code == 0);
  CHECK_THAT(outcome.out, Contains("| winogrande") && Contains("acc_norm") &&
                              Contains("lm_eval_0.4.8") && Contains("6 documents"));
  const Json tasks = read_json_file(results).at("tasks");
  CHECK(tasks.at("piqa").at("protocol") == "lm_eval_0.4.8");
  CHECK(tasks.at("mine").at("protocol") ==
        "lm_eval_0.4.8+" + (temp / "mine.yaml").string());  // not to be taken for the harness's
  CHECK(tasks.at("piqa").at("documents") == 6);
  CHECK_FALSE(tasks.at("winogrande").contains("acc_norm"));

  std::vector<std::string> lines = split(read_file(samples), '\n');
  REQUIRE(lines.size() == 19);  // and what stands behind the last newline
  CHECK(lines[18].empty());
  double right = 0;
  for (size_t i = 0; i < 18; ++i) {
    const Json line = parse_json(lines[i], "samples");
    CHECK(line.at("task") == (i < 6 ? "winogrande" : i < 12 ? "piqa" : "mine"));
    CHECK(line.at("index") == i % 6);
    CHECK(line.at("loglikelihoods").size() == 2);
    if (i >= 6 && i < 12) right += line.at("acc_norm").get<double>();
  }
  CHECK(tasks.at("piqa").at("acc_norm").get<double>() == Approx(right / 6));
}

TEST_CASE("few-shot: one number for every form of the data, share and batch size") {
  const TempFolder temp;
  const std::string records = read_file(fs::path(kData) / "arc_easy.jsonl");
  std::vector<std::string> lines = split(records, '\n');
  std::erase(lines, "");
  const std::string array = "[" + join(lines, ",") + "]";
  create_folders(temp / "a");
  write_file(temp / "a/arc_easy.jsonl", records);
  write_file(temp / "a/arc_easy_train.jsonl", records);
  create_folders(temp / "b/arc_easy");
  write_file(temp / "b/arc_easy/test.json", array);
  write_file(temp / "b/arc_easy/train.jsonl", records);
  REQUIRE(std::system(("gzip " + (temp / "b/arc_easy/train.jsonl").string()).c_str()) == 0);
  const auto score = [&](const char* root, const std::vector<std::string>& more) {
    std::vector<std::string> words = {
        "--tasks",       "arc_easy", "--data-root", (temp / root).string(),
        "--num-fewshot", "2",        "--output",    (temp / "r.json").string()};
    words.insert(words.end(), more.begin(), more.end());
    const test::Outcome outcome = eval(words);
    INFO(outcome.err);
    REQUIRE(outcome.code == 0);
    const Json results = read_json_file(temp / "r.json");
    CHECK(results.at("configuration").at("num_fewshot") == 2);
    const Json task = results.at("tasks").at("arc_easy");
    CHECK(task.at("protocol") == "lm_eval_0.4.8@2shot");
    CHECK(task.at("num_fewshot") == 2);
    CHECK(task.at("documents") == 6);
    CHECK(task.at("data_hash").get<std::string>().size() == 32);
    return Json({task.at("acc"), task.at("acc_norm")});
  };
  const Json want = score("a", {"--limit", "6"});
  CHECK(score("a", {"--limit", "0.1", "--batch-size", "auto"}) == want);
  CHECK(score("b", {"--limit", "0.1", "--batch-size", "1"}) == want);
}

TEST_CASE("lambada: perplexity and share of words foretold") {
  const TempFolder temp;
  const fs::path samples = temp / "samples.jsonl";
  const test::Outcome outcome =
      eval({"--tasks", "lambada_openai", "--data-root", kData, "--samples", samples.string()});
  INFO(outcome.err);
  REQUIRE(outcome.code == 0);
  CHECK_THAT(outcome.out,
             Contains("| lambada_openai") && Contains("perplexity") && Contains("acc"));
  const Json line = parse_json(split(read_file(samples), '\n').at(0), "samples");
  CHECK(line.at("loglikelihoods").size() == 1);
}

TEST_CASE("zero-shot tasks: what is wrong is said, with its place") {
  const TempFolder temp;
  const auto refused = [&](const std::vector<std::string>& arguments, int code,
                           const std::vector<std::string>& words) {
    const test::Outcome outcome = eval(arguments);
    INFO(outcome.err);
    CHECK(outcome.code == code);
    CHECK(outcome.out.empty());
    for (const std::string& word : words) CHECK_THAT(outcome.err, Contains(word));
  };
  refused({"--tasks", "bolq", "--data-root", kData}, 2, {"unknown task 'bolq'", "'boolq'"});
  refused({"--tasks", "boolq", "--data-root", temp.path().string()}, 3,
          {(temp / "boolq" / "boolq.jsonl").string(), "super_glue, configuration boolq"});
  std::string wrong = kTask;
  wrong.replace(wrong.find("choices"), 7, "chioces");
  write_file(temp / "wrong.yaml", wrong);
  refused({"--tasks", (temp / "wrong.yaml").string(), "--data-root", kData}, 2,
          {"wrong.yaml:5: unknown key `prompt.chioces`; did you mean `prompt.choices`?"});
  write_file(temp / "piqa.jsonl", "{\"goal\": \"x\", \"sol1\": \"a\", \"sol2\": \"b\"}\n");
  refused({"--tasks", "piqa", "--data-root", temp.path().string()}, 3,
          {"piqa.jsonl:1: there is no field 'label'"});
  refused({"--tasks", "hellaswag", "--data-root", kData, "--seqlen", "16"}, 3,
          {"hellaswag.jsonl:1:", "continuation of 75 tokens", "--seqlen"});
  write_file(temp / "file", "");
  refused({"--tasks", "piqa", "--data-root", kData, "--samples", (temp / "file" / "s").string()}, 5,
          {"file"});
}
