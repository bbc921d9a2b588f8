// What no configuration may do to the option tree: expand without end, nest without end, be
// anything but text, or end in something other than values or an error.
#include <catch2/catch.hpp>
#include <chrono>

#include "littlebit/core/error.h"
#include "littlebit/core/rng.h"
#include "littlebit/core/write_file.h"
#include "temp_folder.h"
#include "unit/config/sample_options.h"

namespace littlebit {
namespace {

using Catch::Matchers::Contains;

TEST_CASE("anchors and aliases work, bombs do not") {
  Sample sample;
  sample.tree.load_yaml_text(
      "data:\n  train:\n    - &a {path: x, weight: 2}\n    - *a\n  tasks: [&t boolq, *t]\n",
      "run.yaml");
  sample.tree.finish();
  REQUIRE(sample.data.train.size() == 2);
  CHECK(sample.data.train[1].weight == 2);
  CHECK(sample.data.tasks == std::vector<std::string>{"boolq", "boolq"});

  const auto start = std::chrono::steady_clock::now();
  std::string bomb = "data:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i <= 30; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    bomb += "  a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before;
    for (int k = 1; k < 10; ++k) bomb += ", " + before;
    bomb += "]\n";
  }
  CHECK_THROWS_WITH(Sample().tree.load_yaml_text(bomb, "bomb.yaml"),
                    Contains("bomb.yaml:9") && Contains("aliases expand to more than"));
  std::string texts = "data:\n  name: &n \"" + std::string(1 << 20, 'x') + "\"\n  tasks: [*n";
  for (int k = 0; k < 10000; ++k) texts += ", *n";
  CHECK_THROWS_WITH(Sample().tree.load_yaml_text(texts + "]\n", "bomb.yaml"),
                    Contains("aliases expand"));
  CHECK_THROWS_WITH(Sample().tree.load_yaml_text("data: &d {tasks: [*d]}", "loop.yaml"),
                    Contains("inside the value that it refers to"));
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(5));
}

TEST_CASE("what is no YAML, or beyond the limits, is an input error with its position") {
  const auto message = [](const std::string& text) {
    Sample sample;
    try {
      sample.tree.load_yaml_text(text, "f.yaml");
    } catch (const InputError& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  CHECK_THAT(message("a: [b\nc: d"), Contains("f.yaml:2") && Contains("not YAML"));
  CHECK_THAT(message("optim:\n\tsteps: 1"), Contains("f.yaml:2"));
  CHECK_THAT(message("a: *none"), Contains("f.yaml:1:4"));
  CHECK_THAT(message("a: 1\n---\nb: 2"), Contains("f.yaml:2") && Contains("second document"));
  CHECK_THAT(message("a: !!python/object:os.system x"), Contains("tags such as"));
  CHECK_THAT(message("a: \xFF"), Contains("f.yaml:1:4: not UTF-8"));
  CHECK_THAT(message("a: 1\nb: \x04\nc: 1"), Contains("f.yaml:2:4: a control character"));
  CHECK_THAT(message("? [a]\n: b"), Contains("a key that is not text"));
  CHECK_THAT(message("~: b"), Contains("a key that is not text"));
  CHECK_THAT(message(std::string(100000, '[')), Contains("nested more than 64 deep"));
  std::string deep = "a:";
  for (int i = 1; i < 200; ++i) deep += "\n" + std::string(static_cast<size_t>(i), ' ') + "a:";
  CHECK_THAT(message(deep), Contains("nested more than 64 deep"));
  std::string many = "a: [";
  for (int i = 0; i < 1100000; ++i) many += "1,";
  CHECK_THAT(message(many + "]"), Contains("more than 1,048,576 values"));
  CHECK_THAT(message("<<: {optim: {}}"), Contains("no error"));
  Sample merge;
  merge.tree.load_yaml_text("optim:\n  <<: {steps: 1}\n", "f.yaml");
  CHECK_THROWS_WITH(merge.tree.finish(), Contains("f.yaml:2: merge keys"));
}

TEST_CASE("a file beyond 16 MiB, a missing one, a folder") {
  const TempFolder folder;
  Sample sample;
  write_file(folder / "big.yaml", "# " + std::string(17 << 20, 'x'));
  CHECK_THROWS_WITH(sample.tree.load_yaml(folder / "big.yaml"), Contains("longer than 16.00 MiB"));
  CHECK_THROWS_AS(sample.tree.load_yaml(folder / "none.yaml"), InputError);
  CHECK_THROWS_AS(sample.tree.load_yaml(folder.path()), InputError);
  write_file(folder / "good.yaml", "\xEF\xBB\xBFoptim: {steps: 4}\r\n");  // with a byte order mark
  sample.tree.load_yaml(folder / "good.yaml");
  sample.tree.finish();
  CHECK(sample.optim.steps == 4);
  sample.tree.set("optim.steps=5");
  CHECK_THROWS_AS(sample.tree.load_yaml(folder / "good.yaml"),
                  std::logic_error);  // words come last
}

TEST_CASE("very many errors are counted, not all listed") {
  Sample sample;
  std::string text = "optim:\n";
  for (int i = 0; i < 20000; ++i) text += "  learning_rate_" + std::to_string(i) + ": 1\n";
  const auto start = std::chrono::steady_clock::now();
  sample.tree.load_yaml_text(text, "run.yaml");
  CHECK_THROWS_WITH(sample.tree.finish(),
                    Contains("20,000 errors") && Contains("... and 19,900 more"));
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(5));
}

// Whatever bytes a configuration holds, it ends in values or in an Error.
TEST_CASE("damaged configurations end in an error or in values") {
  const std::string good =
      "optim: {learning_rate: 1e-4, steps: 10}\n"
      "data:\n  train:\n    - &a {path: \"x\\ty\", weight: 2}\n    - *a\n  name: 'q''q'\n  tasks: "
      "|\n    t\n";
  const RandomStream random(1, "yaml damage");
  int errors = 0;
  for (uint64_t trial = 0; trial < 3000; ++trial) {
    std::string text = good;
    const uint64_t changes = 1 + random.below(trial * 16, 4);
    for (uint64_t k = 0; k < changes; ++k) {
      const uint64_t at = random.below(trial * 16 + 1 + 3 * k, text.size());
      const std::string_view pool = "[]{}:,&*#!|>'\"%@`-?~ \n\t\\<=0a\x01\x80\xC3";
      const char c = pool[random.below(trial * 16 + 2 + 3 * k, pool.size())];
      switch (random.below(trial * 16 + 3 + 3 * k, 3)) {
        case 0:
          text[at] = c;
          break;
        case 1:
          text.insert(at, 1, c);
          break;
        default:
          text.erase(at, 1 + random.bits(trial) % 9);
      }
    }
    Sample sample;
    INFO(text);
    try {
      sample.tree.load_yaml_text(text, "f");
      sample.tree.finish();
    } catch (const Error&) {
      ++errors;
    }
  }
  CHECK(errors > 1000);
  CHECK(errors < 3000);
}

}  // namespace
}  // namespace littlebit
