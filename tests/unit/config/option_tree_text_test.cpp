// The tree as text: what is printed reads back as the same values, and holds every option with its
// help.
#include <catch2/catch.hpp>
#include <sstream>

#include "littlebit/core/error.h"
#include "unit/config/sample_options.h"

namespace littlebit {
namespace {

using Catch::Matchers::Contains;

TEST_CASE("to_yaml prints values in order of declaration, with their origins") {
  Sample sample;
  sample.tree.load_yaml_text(
      "data:\n  train:\n    - path: a\n      weight: 0.5\n  tasks: [boolq]\n", "run.yaml");
  sample.tree.set("optim.steps=20");
  sample.tree.finish();
  CHECK(sample.tree.to_yaml(true) ==
        "optim:\n"
        "  learning_rate: 4e-5  # default\n"
        "  steps: 20  # command line\n"
        "  schedule: cosine  # default\n"
        "data:\n"
        "  train:  # run.yaml:2\n"
        "    - path: a  # run.yaml:3\n"
        "      format: text  # default\n"
        "      weight: 0.5  # run.yaml:4\n"
        "  shuffle: true  # default\n"
        "  cache_dir: \"\"  # default\n"
        "  tasks: [boolq]  # run.yaml:5\n"
        "  name: \"run: 1\"  # default\n"
        "  level: low  # default\n"
        "  flavour: mild  # default\n");
  CHECK_THAT(Sample().tree.to_yaml(false), Contains("  train: []\n  shuffle: true\n"));
}

TEST_CASE("what to_yaml prints reads back as the same values") {
  const std::vector<std::string> odd = {"",       "~",         "null",      "true",
                                        "No",     "12",        "1e3",       ".5",
                                        "- a",    "a: b",      "a #b",      "#a",
                                        " lead",  "trail ",    "it's",      "\"q\"",
                                        "back\\", "tab\there", "new\nline", "a,b",
                                        "[x]",    "{y}",       "&a",        "*a",
                                        "!t",     "%d",        "@x",        "`x`",
                                        "---",    "...",       "\x7F\x01",  "gr\xC3\xBC\xC3\x9F",
                                        "../up",  "./here",    "/home/a b", "=",
                                        "?",      "|",         ">",         "a: ",
                                        "x:y",    "<<"};
  Sample sample;
  sample.data.tasks = odd;
  for (const std::string& text : odd) {
    // A path never begins with ~: it was the home folder when it was read.
    const std::string path = text == "~" ? "./~" : text;
    sample.data.train.push_back({.path = path, .format = SourceKind::kJsonl, .weight = 0.1});
  }
  for (const double number : {4e-5, 1.0 / 3, 1e-300, 0.02, 10.0, 5e-324}) {
    sample.optim.learning_rate = number;
    // A list that grew behind the tree's back is declared anew in a tree of its own.
    OptionTree written;
    written.add("optim", "", sample.optim);
    written.add("data", "", sample.data);
    const std::string text = written.to_yaml(true);
    INFO(text);
    Sample read;
    read.tree.load_yaml_text(text, "config.yaml");
    read.tree.finish();
    CHECK(read.optim.learning_rate == number);
    CHECK(read.optim.steps == 0);  // outside its range, but what was printed is accepted
    CHECK(read.data.tasks == odd);
    REQUIRE(read.data.train.size() == odd.size());
    for (size_t i = 0; i < odd.size(); ++i) {
      CHECK(read.data.train[i].path == sample.data.train[i].path);
      CHECK(read.data.train[i].weight == 0.1);
      CHECK(read.data.train[i].format == SourceKind::kJsonl);
    }
    CHECK(read.data.name == "run: 1");
    CHECK(read.tree.to_yaml(false) == written.to_yaml(false));
  }
}

TEST_CASE("the reference file sets every option to its default") {
  Sample sample;
  const std::string reference = sample.tree.reference_yaml();
  INFO(reference);
  CHECK_THAT(reference, Contains("littlebit-train --print-reference yaml"));
  CHECK_THAT(reference, Contains("  # Steps | passes.\n  # (integer from 1 to 1000000; decides: "
                                 "start, run)\n  steps: 0\n"));
  CHECK_THAT(reference, Contains("  #   - path: \"\"\n") && Contains("  #     weight: 1\n"));
  Sample read;
  read.optim.learning_rate = 1;
  read.data.shuffle = false;
  read.data.train.push_back({.path = "x"});
  read.tree.load_yaml_text(reference, "reference.yaml");
  read.tree.finish();
  CHECK(read.tree.to_yaml(false) == sample.tree.to_yaml(false));
  CHECK(read.tree.origin("data.level") == Origin::kFile);
}

TEST_CASE("records that are there by default are printed as one") {
  SampleData data;
  data.train = {{.path = "a b"}, {.path = "c", .format = SourceKind::kJsonl, .weight = 2}};
  OptionTree tree;
  tree.add("data", "", data);
  CHECK_THAT(tree.reference_yaml(), Contains("train: [{path: a b, format: text, weight: 1}, "
                                             "{path: c, format: jsonl, weight: 2}]\n"));
  Sample read;
  read.tree.load_yaml_text(tree.reference_yaml(), "reference.yaml");
  read.tree.finish();
  REQUIRE(read.data.train.size() == 2);
  CHECK(read.data.train[0].path == "a b");
  CHECK(read.data.train[1].weight == 2);
}

TEST_CASE("a section without options leaves the files readable") {
  struct Nothing {
    void declare(OptionGroup&) {}
  } nothing;
  OptionTree tree;
  tree.add("nothing", "Holds no option yet.", nothing);
  tree.load_yaml_text(tree.reference_yaml(), "reference.yaml");
  tree.load_yaml_text(tree.to_yaml(true), "config.yaml");
  CHECK_NOTHROW(tree.finish());
}

TEST_CASE("the page lists every option in a table") {
  const std::string page = Sample().tree.markdown();
  CHECK_THAT(page, Contains("littlebit-train --print-reference markdown"));
  CHECK_THAT(page, Contains("## optim\n\nOptimizer and learning-rate schedule.\n"));
  CHECK_THAT(page,
             Contains("| `optim.steps` | `0` | integer from 1 to 1000000 | start, run | Steps \\| "
                      "passes. |\n"));
  CHECK_THAT(page,
             Contains("| `data.train[].weight` | `1` | number greater than 0 |  | Passes over"));
  CHECK_THAT(page, Contains("| `optim.schedule` | `cosine` | cosine, constant, linear or sqrt | "
                            "run (changeable) |"));
}

TEST_CASE("help is wrapped to a hundred columns") {
  const std::string help = Sample().tree.help_text();
  std::istringstream lines(help);
  size_t longest = 0;
  for (std::string line; std::getline(lines, line);) longest = std::max(longest, line.size());
  CHECK(longest <= 100);
  CHECK(longest > 80);  // and not broken much earlier
  CHECK_THAT(help, Contains("  optim.learning_rate=4e-5\n      Peak learning rate. A long help"));
  CHECK_THAT(help, Contains("  data.train=[]\n"));
  CHECK_THAT(help, !Contains("decides"));
}

}  // namespace
}  // namespace littlebit
