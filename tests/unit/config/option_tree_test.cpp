// The option tree: what each kind of option accepts, where values come from, and that all errors
// are told at once.
#include "littlebit/config/option_tree.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <limits>

#include "littlebit/config/option_group.h"
#include "littlebit/core/error.h"
#include "temp_folder.h"
#include "unit/config/sample_options.h"

namespace littlebit {
namespace {

using Catch::Matchers::Contains;

TEST_CASE("defaults stay where nothing is given") {
  Sample sample;
  sample.tree.load_yaml_text("", "empty.yaml");
  sample.tree.load_yaml_text("# nothing but a comment\n", "empty.yaml");
  sample.tree.finish();
  CHECK(sample.optim.learning_rate == 4e-5);
  CHECK(sample.tree.origin("optim.learning_rate") == Origin::kDefault);
  CHECK_FALSE(sample.tree.is_set("data.train"));
  CHECK_THROWS_AS(sample.tree.origin("optim.nothing"), std::logic_error);
}

TEST_CASE("another default gives way to file and word, and is told as what it is") {
  Sample sample;
  sample.tree.load_yaml_text("optim:\n  steps: 12\n", "run.yaml");
  sample.tree.set("data.flavour=hot");
  for (const auto& [key, value] :
       {std::pair{"optim.steps", "50"}, std::pair{"data.flavour", "plain"},
        std::pair{"optim.schedule", "linear"}, std::pair{"data.name", "x # y"}}) {
    sample.tree.set_default(key, value, "preset");
  }
  sample.tree.finish();
  CHECK(sample.optim.steps == 12);
  CHECK(sample.data.flavour == "hot");
  CHECK(sample.optim.schedule == Schedule::kLinear);
  CHECK(sample.data.name == "x # y");
  CHECK(sample.tree.origin("optim.schedule") == Origin::kPreset);
  CHECK_FALSE(sample.tree.is_set("optim.schedule"));
  CHECK_THAT(sample.tree.to_yaml(true), Contains("schedule: linear  # preset\n"));
  CHECK_THROWS_AS(sample.tree.set_default("optim.nothing", "1", "preset"), std::logic_error);
}

TEST_CASE("an option beside the sections is read, set, printed and listed as one of them") {
  struct Beside {
    int64_t number = 5;
    void declare(OptionGroup& group) { group.integer("number", &number, {.min = 0}, "How many."); }
  } beside;
  OptionTree tree;
  tree.add("", "", beside);
  SampleOptim optim;
  tree.add("optim", "Optimizer and learning-rate schedule", optim);
  tree.load_yaml_text("number: 6\noptim: {steps: 2}\n", "run.yaml");
  tree.finish();
  CHECK(beside.number == 6);
  CHECK(tree.keys().front() == "number");
  CHECK_THAT(tree.to_yaml(true), Catch::StartsWith("number: 6  # run.yaml:1\noptim:\n"));
  tree.set("number=7");
  tree.finish();
  CHECK(beside.number == 7);
  CHECK_THAT(tree.reference_yaml(),
             Contains("\n\n# How many.\n# (integer of at least 0)\nnumber: 5\n"));
  CHECK_THAT(tree.markdown(), Contains("\n## number\n\n| key | default | values | meaning |\n") &&
                                  Contains("| `number` | `5` |"));
  CHECK_THAT(tree.help_text(), Catch::StartsWith("number=5\n    How many."));
  tree.set("number=-1");
  CHECK_THROWS_WITH(tree.finish(), Contains("`number`"));
}

TEST_CASE("a file sets values, words win over it, later words over earlier ones") {
  Sample sample;
  sample.tree.load_yaml_text(
      "optim:\n  learning_rate: 1e-4\n  schedule: linear\n  steps: 12\n"
      "data:\n  shuffle: false\n  cache_dir: /tmp/a b\n  tasks: [boolq, \"c4\"]\n",
      "run.yaml");
  sample.tree.set("optim.steps=20");
  sample.tree.set("optim.steps=30");
  sample.tree.set("data.name=x=y");
  sample.tree.finish();
  CHECK(sample.optim.learning_rate == 1e-4);
  CHECK(sample.optim.schedule == Schedule::kLinear);
  CHECK(sample.optim.steps == 30);
  CHECK_FALSE(sample.data.shuffle);
  CHECK(sample.data.cache_dir == "/tmp/a b");
  CHECK(sample.data.tasks == std::vector<std::string>{"boolq", "c4"});
  CHECK(sample.data.name == "x=y");
  CHECK(sample.tree.origin("optim.steps") == Origin::kCommandLine);
  CHECK(sample.tree.origin("optim.schedule") == Origin::kFile);
  CHECK(sample.tree.origin("data.level") == Origin::kDefault);
  CHECK(sample.tree.text("optim.learning_rate") == "1e-4");
  CHECK(sample.tree.text("optim.schedule") == "linear");
  CHECK(sample.tree.text("data.shuffle") == "false");
  CHECK(sample.tree.text("data.level") == "low");
  CHECK_THROWS_AS(sample.tree.text("data.train"), std::logic_error);
  CHECK_THROWS_AS(sample.tree.text("data"), std::logic_error);
}

TEST_CASE("options are listed, and those that decide something by what they decide") {
  const Sample sample;
  using Keys = std::vector<std::string>;
  CHECK(sample.tree.keys() == Keys{"optim.learning_rate", "optim.steps", "optim.schedule",
                                   "data.train", "data.shuffle", "data.cache_dir", "data.tasks",
                                   "data.name", "data.level", "data.flavour"});
  CHECK(sample.tree.deciding(Decides::kStart) == Keys{"optim.steps"});
  CHECK(sample.tree.deciding(Decides::kRun) == Keys{"optim.steps"});
  CHECK(sample.tree.deciding(Decides::kRunChangeable) == Keys{"optim.schedule"});
  CHECK(sample.tree.deciding(Decides::kRunResolved) == Keys{"data.train"});
}

TEST_CASE("a choice may be kept as its text") {
  Sample sample;
  CHECK(sample.tree.text("data.flavour") == "mild");
  sample.tree.set("data.flavour=hot");
  sample.tree.finish();
  CHECK(sample.data.flavour == "hot");
  sample.tree.set("data.flavour=sour");
  CHECK_THROWS_WITH(sample.tree.finish(), Contains("plain, mild or hot"));
  CHECK(sample.data.flavour == "hot");
}

TEST_CASE("a word may set a whole section, and one text stands for a list of one") {
  Sample sample;
  sample.tree.set("optim={steps: 3, schedule: constant}");
  sample.tree.set("data.tasks=wikitext2");
  sample.tree.finish();
  CHECK(sample.optim.steps == 3);
  CHECK(sample.optim.schedule == Schedule::kConstant);
  CHECK(sample.data.tasks == std::vector<std::string>{"wikitext2"});
}

TEST_CASE("integers are integers") {
  const auto steps = [](const std::string& text) {
    Sample sample;
    sample.tree.set("optim.steps=" + text);
    sample.tree.finish();
    return sample.optim.steps;
  };
  CHECK(steps("7") == 7);
  CHECK(steps("+7") == 7);
  CHECK(steps("1000000") == 1000000);
  for (const char* bad : {"1e3", "1_000", "1.0", "1.", "0x10", "007", "+-3", "--3", "-", "\"7\"",
                          "'7'", "true", "[7]", "{a: 7}", "seven", "7 8", "1,000", "\"\""}) {
    INFO(bad);
    CHECK_THROWS_WITH(steps(bad), Contains("expected an integer"));
  }
  CHECK_THROWS_WITH(steps("9223372036854775808"), Contains("64-bit"));
  CHECK_THROWS_WITH(steps("-3"), Contains("integer from 1 to 1000000, got `-3`"));
  CHECK_THROWS_WITH(steps("1000001"), Contains("from 1 to"));

  int64_t wide = 5;
  struct Wide {
    int64_t* value;
    void declare(OptionGroup& group) { group.integer("wide", value, {}, "Any."); }
  } options{&wide};
  OptionTree tree;
  tree.add("x", "", options);
  tree.set("x.wide=-9223372036854775808");
  CHECK(wide == std::numeric_limits<int64_t>::min());
  tree.set("x.wide=9223372036854775807");
  CHECK(wide == std::numeric_limits<int64_t>::max());
  tree.finish();
}

TEST_CASE("numbers take every usual notation and nothing else") {
  const auto rate = [](const std::string& text) {
    Sample sample;
    sample.tree.set("optim.learning_rate=" + text);
    sample.tree.finish();
    return sample.optim.learning_rate;
  };
  CHECK(rate("1e-4") == 1e-4);
  CHECK(rate("1E-4") == 1e-4);
  CHECK(rate("1") == 1);
  CHECK(rate("+.5") == 0.5);
  CHECK(rate("0.25") == 0.25);
  for (const char* bad : {"nan", ".nan", "inf", ".inf", "-.inf", "infinity", "1e", "1e-4x", "1_0.5",
                          "\"1\"", "0x1p3", "false", "[1]", ".", "-.", "1,5", "+-1"}) {
    INFO(bad);
    CHECK_THROWS_WITH(rate(bad), Contains("expected a finite number"));
  }
  CHECK_THROWS_WITH(rate("1e999"), Contains("64-bit"));
  CHECK_THROWS_WITH(rate("0"), Contains("number greater than 0 and at most 10"));
  CHECK_THROWS_WITH(rate("-1"), Contains("greater than 0"));
  CHECK_THROWS_WITH(rate("10.5"), Contains("at most 10"));
  CHECK(rate("10") == 10);
}

TEST_CASE("flags are true or false") {
  Sample sample;
  sample.tree.set("data.shuffle=false");
  sample.tree.finish();
  CHECK_FALSE(sample.data.shuffle);
  for (const char* bad : {"no", "False", "0", "\"true\"", "[true]", "on", "off", "1"}) {
    INFO(bad);
    Sample other;
    other.tree.set(std::string("data.shuffle=") + bad);
    CHECK_THROWS_WITH(other.tree.finish(), Contains("expected true or false"));
    CHECK(other.data.shuffle);
  }
}

TEST_CASE("texts, paths and choices") {
  Sample sample;
  sample.tree.load_yaml_text("data: {name: 12, cache_dir: true, level: \"high\"}", "a.yaml");
  sample.tree.finish();
  CHECK(sample.data.name == "12");
  CHECK(sample.data.cache_dir == "true");
  CHECK(sample.data.level == 1);
  const auto message = [](const std::string& word) {
    Sample other;
    other.tree.set(word);
    try {
      other.tree.finish();
    } catch (const UsageError& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  CHECK_THAT(message("data.cache_dir=\"a\\0b\""), Contains("expected a path"));
  CHECK_THAT(message("data.tasks=[a, [b]]"),
             Contains("expected a list of texts, got a list in it"));
  CHECK_THAT(message("data.tasks=[a, ~]"), Contains("got nothing in it"));
  CHECK_THAT(message("optim.schedule=cosin"),
             Contains("expected cosine, constant, linear or sqrt, got `cosin`; did you mean"));
  CHECK_THAT(message("optim.schedule=[]"), Contains("got a list"));
  CHECK_THAT(message("data.shuffle=true #no"), Contains("a comment (#) begins"));
  CHECK_THAT(message("data.tasks=[a] # b"), Contains("a comment (#) begins"));
  CHECK_THAT(message("data.train=[{path: a #b}]"), Contains("a comment (#) begins"));
  CHECK_THAT(message("data.name="), Contains("has no value"));
  CHECK_THAT(message("data.cache_dir=~nobody/x"), Contains("only ~ and ~/"));
}

TEST_CASE("a text or path of a word is the very text that stands there") {
  for (const char* text : {"runs/exp #1", "#1", "a: b", "[a]", "{a: b}", "&a", "*a", "!t", "null",
                           "it's", "a, b", " lead", "trail ", "- x", "say \"so\"", "%d", "a\nb"}) {
    INFO(text);
    Sample sample;
    sample.tree.set(std::string("data.name=") + text);
    sample.tree.set(std::string("data.cache_dir=") + text);
    sample.tree.set(std::string("data.train.0.path=") + text);
    sample.tree.finish();
    CHECK(sample.data.name == text);
    CHECK(sample.data.cache_dir == text);
    CHECK(sample.data.train.at(0).path == text);
  }
  Sample sample;  // lists and whole quotes keep their form
  sample.tree.set("data.tasks=[a, \"b #c\", 'd''s']");
  sample.tree.set("data.name=\"x #y\"");
  sample.tree.set("data.train=t #1.txt");
  sample.tree.finish();
  CHECK(sample.data.tasks == std::vector<std::string>{"a", "b #c", "d's"});
  CHECK(sample.data.name == "x #y");
  CHECK(sample.data.train.at(0).path == "t #1.txt");
  Sample one;
  one.tree.set("data.tasks=a #b");
  one.tree.finish();
  CHECK(one.data.tasks == std::vector<std::string>{"a #b"});
}

TEST_CASE("~ at the start of a path is the home folder, in files, words and lists") {
  const std::string home = std::getenv("HOME") == nullptr ? "" : std::getenv("HOME");
  setenv("HOME", "/somewhere/home", 1);
  Sample sample;
  sample.tree.load_yaml_text("data: {cache_dir: ~/cache, train: [~/a, {path: \"~/b\"}], name: ~/n}",
                             "a.yaml");
  sample.tree.finish();
  CHECK(sample.data.cache_dir == "/somewhere/home/cache");
  CHECK(sample.data.train.at(0).path == "/somewhere/home/a");
  CHECK(sample.data.train.at(1).path == "/somewhere/home/b");
  CHECK(sample.data.name == "~/n");  // a text is no path
  Sample words;
  words.tree.set("data.cache_dir=~");
  words.tree.set("data.train=[~/a, a~b, ./~/c]");
  words.tree.finish();
  CHECK(words.data.cache_dir == "/somewhere/home");
  CHECK(words.data.train.at(0).path == "/somewhere/home/a");
  CHECK(words.data.train.at(1).path == "a~b");
  CHECK(words.data.train.at(2).path == "./~/c");
  unsetenv("HOME");
  Sample without;  // as the user database has it
  without.tree.set("data.cache_dir=~/x");
  without.tree.finish();
  CHECK(without.data.cache_dir.is_absolute());
  if (!home.empty()) setenv("HOME", home.c_str(), 1);
}

TEST_CASE("a value that is left out is an error with advice") {
  Sample sample;
  sample.tree.load_yaml_text("optim:\n  learning_rate:\n  schedule: ~\ndata: null\n", "a.yaml");
  sample.tree.set("data.name=");
  CHECK_THROWS_WITH(sample.tree.finish(),
                    Contains("a.yaml:2: `optim.learning_rate` has no value") &&
                        Contains("default 4e-5") &&
                        Contains("a.yaml:3: `optim.schedule` has no value") &&
                        Contains("a.yaml:4: `data` has no value") &&
                        Contains("`data.name=`: `data.name` has no"));
}

TEST_CASE("all errors are told at once, each with its place and the nearest name") {
  Sample sample;
  sample.tree.load_yaml_text(
      "optim:\n"
      "  learnig_rate: 1\n"
      "  steps: many\n"
      "dta:\n"
      "  shuffle: true\n"
      "learning_rate: 2\n"
      "data:\n"
      "  shuffle: true\n"
      "  shuffle: false\n"
      "  zzzzzz: 1\n",
      "dir/run.yaml");
  sample.tree.set("optim.beta=3");
  sample.tree.set("steps=3");
  sample.tree.set("no-equals-sign");
  sample.tree.set("=3");
  sample.tree.set("data.tasks=[a");
  sample.tree.add_error("something of the program's own");
  sample.tree.add_error_at("optim.schedule", "does not suit");
  try {
    sample.tree.finish();
    FAIL("expected an error");
  } catch (const UsageError& error) {
    CHECK(error.code() == ExitCode::kUsage);
    const std::string text = error.what();
    INFO(text);
    CHECK_THAT(text, Contains("13 errors"));
    CHECK_THAT(text, Contains("dir/run.yaml:2: unknown key `optim.learnig_rate`; did you mean "
                              "`optim.learning_rate`?"));
    CHECK_THAT(text, Contains("dir/run.yaml:3: `optim.steps`: expected an integer, got `many`"));
    CHECK_THAT(text, Contains("dir/run.yaml:4: unknown key `dta`; did you mean `data`?"));
    CHECK_THAT(text, Contains("dir/run.yaml:6: unknown key `learning_rate`; did you mean "
                              "`optim.learning_rate`?"));
    CHECK_THAT(text, Contains("dir/run.yaml:9: key `shuffle` given twice, first on line 8"));
    CHECK_THAT(text, Contains("dir/run.yaml:10: unknown key `data.zzzzzz`; expected one of"));
    CHECK_THAT(text, Contains("`optim.beta=3`: unknown key `optim.beta`"));
    CHECK_THAT(text, Contains("`steps=3`: unknown key `steps`; did you mean `optim.steps`?"));
    CHECK_THAT(text, Contains("`no-equals-sign`: expected key.path=value"));
    CHECK_THAT(text, Contains("`=3`: expected key.path=value"));
    CHECK_THAT(text, Contains("`data.tasks=[a`: the value: not YAML"));
    CHECK_THAT(text, Contains("something of the program's own"));
    CHECK_THAT(text, Contains("`optim.schedule` (the default): does not suit"));
  }
}

TEST_CASE("add_error_at names the place a value came from") {
  Sample sample;
  sample.tree.load_yaml_text("optim:\n  steps: 3\n", "run.yaml");
  sample.tree.set("data.train=[{path: a}]");
  sample.tree.add_error_at("optim.steps", "too few");
  CHECK_THROWS_WITH(sample.tree.finish(), "run.yaml:2: `optim.steps`: too few");
  sample.tree.add_error_at("data.train.0.path", "is missing");
  CHECK_THROWS_WITH(sample.tree.finish(),
                    Contains("`data.train=[{path: a}]`: `data.train.0.path`: is missing"));
}

TEST_CASE("sections are mappings") {
  Sample sample;
  sample.tree.load_yaml_text("optim: 3\ndata: [a]\n", "run.yaml");
  CHECK_THROWS_WITH(sample.tree.finish(), Contains("`optim`: expected a mapping") &&
                                              Contains("got `3`") && Contains("got a list"));
  Sample list;
  list.tree.load_yaml_text("- a\n", "run.yaml");
  CHECK_THROWS_WITH(list.tree.finish(), Contains("run.yaml:1: expected a mapping"));
  Sample dotted;
  dotted.tree.load_yaml_text("optim.steps: 3\n", "run.yaml");
  CHECK_THROWS_WITH(dotted.tree.finish(), Contains("in its section: `optim: {steps: ...}`"));
}

TEST_CASE("records come as a list, one mapping, one text, or one by one") {
  Sample sample;
  sample.tree.load_yaml_text(
      "data:\n  train:\n    - path: a.txt\n    - {path: b, format: jsonl, weight: 0.5}\n    - c\n",
      "run.yaml");
  REQUIRE(sample.data.train.size() == 3);
  CHECK(sample.data.train[0].path == "a.txt");
  CHECK(sample.data.train[1].format == SourceKind::kJsonl);
  CHECK(sample.data.train[1].weight == 0.5);
  CHECK(sample.data.train[2].path == "c");
  sample.tree.set("data.train.1.weight=2");
  sample.tree.set("data.train.3.path=d");
  sample.tree.set("data.train.4=e");
  sample.tree.finish();
  REQUIRE(sample.data.train.size() == 5);
  CHECK(sample.data.train[1].path == "b");
  CHECK(sample.data.train[1].weight == 2);
  CHECK(sample.data.train[3].path == "d");
  CHECK(sample.data.train[4].path == "e");
  CHECK(sample.tree.origin("data.train") == Origin::kCommandLine);
  CHECK(sample.tree.origin("data.train.1.path") == Origin::kFile);
  CHECK(sample.tree.origin("data.train.1.format") == Origin::kFile);
  CHECK(sample.tree.origin("data.train.0.format") == Origin::kDefault);

  sample.tree.set("data.train=[{path: x, format: jsonl}]");
  REQUIRE(sample.data.train.size() == 1);
  CHECK(sample.data.train[0].weight == 1);  // nothing of the older list shines through
  sample.tree.set("data.train=y.txt");
  REQUIRE(sample.data.train.size() == 1);
  CHECK(sample.data.train[0].path == "y.txt");
  CHECK(sample.data.train[0].format == SourceKind::kText);
  sample.tree.set("data.train={path: z, weight: 3}");
  CHECK(sample.data.train[0].weight == 3);
  sample.tree.set("data.train=[]");
  CHECK(sample.data.train.empty());
  sample.tree.finish();
}

TEST_CASE("records obey the rules of options") {
  Sample sample;
  sample.tree.load_yaml_text(
      "data:\n"
      "  train:\n"
      "    - path: a\n"
      "      weigth: 1\n"
      "    - weight: -1\n"
      "    - [b]\n"
      "    -\n"
      "    - path: c\n"
      "      path: d\n",
      "run.yaml");
  sample.tree.set("data.train.9.path=x");
  sample.tree.set("data.train.first.path=x");
  CHECK_THROWS_WITH(
      sample.tree.finish(),
      Contains(
          "run.yaml:4: unknown key `data.train.0.weigth`; did you mean `data.train.0.weight`") &&
          Contains("run.yaml:5: `data.train.1.weight`: expected a number greater than 0") &&
          Contains("run.yaml:5: `data.train.1` has no `path`") &&
          Contains("run.yaml:6: `data.train.2`: expected a mapping") &&
          Contains("`data.train.3` has no value") &&
          Contains("run.yaml:9: key `path` given twice") &&
          Contains("number of a record of `data.train`, 0 to 5, got `9`") &&
          Contains("got `first`"));
}

TEST_CASE("long and odd words are shown cut and printable") {
  Sample sample;
  sample.tree.set("data.nme=" + std::string(100000, 'x'));
  sample.tree.set("data.\nx=1");
  try {
    sample.tree.finish();
    FAIL("expected an error");
  } catch (const UsageError& error) {
    const std::string text = error.what();
    CHECK(text.size() < 1000);
    CHECK_THAT(text, Contains("...`") && Contains("data.\\x0Ax"));
  }
}

TEST_CASE("declaring a name twice, or with letters no key has, is a bug") {
  struct Twice {
    bool a = false;
    void declare(OptionGroup& group) {
      group.flag("a", &a, "");
      group.flag("a", &a, "");
    }
  } twice;
  struct Odd {
    bool a = false;
    void declare(OptionGroup& group) { group.flag("a.b", &a, ""); }
  } odd;
  OptionTree tree;
  CHECK_THROWS_AS(tree.add("x", "", twice), std::logic_error);
  CHECK_THROWS_AS(tree.add("y", "", odd), std::logic_error);
}

}  // namespace
}  // namespace littlebit
