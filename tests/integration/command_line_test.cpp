// Command lines as people type them: a file alone, nothing at all, lists with commas, folders and
// globs of training text, and hints that fit the mistake.
#include <algorithm>
#include <catch2/catch.hpp>

#include "integration/wrong_input.h"

namespace littlebit::test {
namespace {

using Catch::Contains;

std::string config(const std::string& train) {
  return "model: {path: model}\ndata: {train: " + train +
         ", sequence_length: 16}\ntrain: {steps: 1, device: cpu}\noutput: {dir: out}\n"
         "quant: {bits_per_weight: 1}\n";
}

}  // namespace

TEST_CASE("a YAML file alone is what --config gives; two files are refused") {
  const Workshop shop;
  shop.write("run.yaml", config("text.txt"));
  const auto run = [&](const std::vector<std::string>& words) {
    return run_program("littlebit-train", words, "cd '" + (shop / "").string() + "' && ");
  };
  const Outcome alone = run({"run.yaml", "--print-config", "train.steps=7"});
  INFO(alone.err);
  CHECK(alone.code == 0);
  CHECK(alone.out == run({"--config", "run.yaml", "--print-config", "train.steps=7"}).out);
  CHECK_THAT(alone.out, Contains("steps: 7"));
  CHECK(run({"run.yaml", "run.yaml", "--check"}).code == 2);
}

TEST_CASE("without arguments: ten lines at most with an example, exit code 2") {
  for (const char* program : {"littlebit-train", "littlebit-eval"}) {
    const Outcome outcome = run_program(program, {});
    CHECK(outcome.code == 2);
    CHECK(std::count(outcome.err.begin(), outcome.err.end(), '\n') <= 10);
    CHECK_THAT(outcome.err, Contains("For example:") && Contains("--help"));
  }
}

TEST_CASE("help tells values as people write them") {
  for (const char* program : {"littlebit-train", "littlebit-eval"}) {
    const Outcome outcome = run_program(program, {"--help"});
    CHECK(outcome.code == 0);
    CHECK_THAT(outcome.out, !Contains("TEXT ...") && !Contains("TEXT:"));
  }
}

TEST_CASE("a folder and a glob train as their files do") {
  const Workshop shop;
  shop.shell("mkdir d; split -n l/3 --additional-suffix=.txt text.txt d/x; gzip d/xab.txt");
  for (const char* words : {"data.train=d", "data.train=d/*", "data.train=d/x??.*"}) {
    const Outcome outcome = shop.train({words, "--check"});
    INFO(outcome.err);
    CHECK(outcome.code == 0);
    CHECK_THAT(outcome.out + outcome.err, Contains("3 files"));
  }
}

TEST_CASE("hints fit the mistake") {
  const Workshop shop;
  const auto hinted = [&](const std::string& word, const std::string& hint) {
    const Outcome outcome = shop.train({word, "--check"});
    INFO(outcome.err);
    CHECK(outcome.code != 0);
    CHECK_THAT(outcome.err, Contains(hint));
  };
  hinted("optim.learning_rate=\"1e-4\"", "without quotes: 1e-4");
  hinted("model.path=meta-llama/Llama-2-7b", "Hugging Face Hub");
  hinted("model.path=https://huggingface.co/x/y", "download the model first");
  hinted("model.path=models/*", "give one folder");
  hinted("data.train=https://x.org/a.jsonl", "download it first");
  hinted("data.train=allenai/c4", "Hugging Face Hub");
  hinted("data.train=none/*.txt", "matches this glob");
  shop.write("run.yaml", "eval:\n  tasks: boolq, piqa\n");
  const Outcome outcome = shop.train({"--config", "run.yaml", "--check"});
  CHECK_THAT(outcome.err, Contains("write a list in brackets: [boolq, piqa]"));
}

TEST_CASE("eval.tasks=A,B is read as --tasks A,B") {
  const Workshop shop;
  const Outcome by_key = shop.eval({"--model", "model", "eval.tasks=nono,nene"});
  CHECK(by_key.err == shop.eval({"--model", "model", "--tasks", "nono,nene"}).err);
  CHECK_THAT(by_key.err, Contains("nono") && !Contains("nono,nene"));
}

}  // namespace littlebit::test
