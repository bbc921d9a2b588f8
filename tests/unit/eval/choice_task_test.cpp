// Task files, templates and documents: what they give, and what is refused.
#include "littlebit/eval/choice_task.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "littlebit/core/place.h"
#include "littlebit/core/write_file.h"
#include "littlebit/eval/choice_data.h"
#include "littlebit/eval/choice_documents.h"
#include "littlebit/io/json.h"
#include "support/paths.h"
#include "temp_folder.h"
#include "unit/io/expect_error.h"

using namespace littlebit;
using littlebit::test::expect_error;
using littlebit::test::expect_input_error;

namespace {

namespace fs = std::filesystem;

std::string filled(const std::string& text, const Json& record) {
  return TextTemplate(text).fill(TemplateFields(record));
}

const fs::path kGolden = fs::path(littlebit::test::kSourceDir) / "tests" / "golden";
const fs::path kData = kGolden / "zeroshot_data";
const fs::path kScores = kGolden / "zeroshot_wiki_llama";
const fs::path kGoldenTexts = kGolden / "zeroshot_smollm2" / "text_cases.json";

constexpr char kCapitals[] = R"(
source: {file: capitals.jsonl}
prompt:
  context: "Q: {question}\nA:"
  choices: "{choices}"
answer: {gold: "{answer}"}
score: {metrics: [acc, acc_norm]}
)";

std::vector<ChoiceDocument> documents_of(const std::string& yaml, const std::string& lines,
                                         int64_t limit = 0) {
  const TempFolder temp;
  write_file(temp / "data.jsonl", lines);
  return read_choice_documents(parse_choice_task(yaml, "mine", "mine.yaml"), temp / "data.jsonl",
                               limit);
}

}  // namespace

TEST_CASE("templates: fields by path, functions, braces") {
  const Json record = {{"a", " x "},
                       {"n", 7},
                       {"flag", true},
                       {"inner", {{"b", {"one", "two"}}, {"c", {{"d", "deep"}}}}}};
  CHECK(filled("", record).empty());
  CHECK(filled("plain", record) == "plain");
  CHECK(filled("<{a}>{n}{flag}", record) == "< x >7true");
  CHECK(filled("{a|strip}{a|rstrip}{a|lstrip|capitalize}", record) == "x xX ");
  CHECK(filled("{inner.c.d}{inner.b.1}", record) == "deeptwo");
  CHECK(filled("{{a}} {{{n}}}", record) == "{a} {7}");
  CHECK(TextTemplate("{inner.b|capitalize}").fill_each(TemplateFields(record)) ==
        std::vector<std::string>{"One", "Two"});
  CHECK(TextTemplate("{a}").fill_each(TemplateFields(record)) == std::vector<std::string>{" x "});

  TemplateFields fields(record);
  fields.set("a", "made");  // goes before the record's own
  CHECK(TextTemplate("{a}{n}").fill(fields) == "made7");
}

TEST_CASE("templates: what is wrong with them, and with a record") {
  const auto refused = [](const std::string& text, const std::vector<std::string>& words) {
    INFO(text);
    expect_error(ExitCode::kUsage, words, [&] { TextTemplate{text}; });
  };
  refused("{a", {"'{' without its partner"});
  refused("a}", {"'}' without its partner"});
  refused("{a{b}}", {"'{' without its partner"});
  refused("{}", {"names no field"});
  refused("{a.}", {"names no field"});
  refused("{ a}", {"names no field"});
  refused("{a|capitalise}", {"unknown function 'capitalise'", "did you mean 'capitalize'"});
  refused("{a|}", {"unknown function ''"});

  const Json record = {{"sol1", "x"}, {"list", {"y"}}, {"nothing", nullptr}, {"half", 0.5}};
  const auto broken = [&](const std::string& text, const std::vector<std::string>& words) {
    INFO(text);
    expect_input_error(words, [&] { filled(text, record); });
  };
  broken("{sol2}", {"no field 'sol2'", "did you mean 'sol1'"});
  broken("{sol1.text}", {"no field 'sol1.text'", "string"});
  broken("{list.1}", {"no field 'list.1'", "1 element"});
  broken("{list}", {"'list' must be a text", "[\"y\"]"});
  broken("{nothing}", {"'nothing' must be a text", "null"});
  broken("{half}", {"'half' must be a text", "0.5"});
  broken("{sol1|before_blank}", {"no \"_\" in \"x\""});
}

TEST_CASE("the harness's text functions") {
  const Json cases = read_json_file(kGoldenTexts);
  REQUIRE(cases.at("clean").size() == 16);
  for (const Json& each : cases.at("clean")) {
    CHECK(filled("{text|hellaswag_clean}", each) == each.at("cleaned").get<std::string>());
  }
  const ChoiceTask hellaswag = load_choice_task("hellaswag", "");
  REQUIRE(hellaswag.fields.size() == 1);
  for (const Json& each : cases.at("hellaswag_query")) {
    TemplateFields fields(each);
    fields.set("query", hellaswag.fields[0].second.fill(fields));
    CHECK(hellaswag.context.fill(fields) == each.at("query").get<std::string>());
  }
  const ChoiceTask winogrande = load_choice_task("winogrande", "");
  const TempFolder temp;
  for (const Json& each : cases.at("winogrande")) {
    write_file(temp / "one.jsonl", to_json_line(each));
    const auto documents = read_choice_documents(winogrande, temp / "one.jsonl", 0);
    REQUIRE(documents.size() == 1);
    CHECK(documents[0].gold == each.at("gold").get<int64_t>());
    REQUIRE(documents[0].choices.size() == 2);
    for (size_t c = 0; c < 2; ++c) {
      CHECK(documents[0].choices[c].context == each.at("contexts")[c].get<std::string>());
      CHECK(documents[0].choices[c].continuation == each.at("continuation").get<std::string>());
    }
  }
}

TEST_CASE("the built-in tasks give the harness's strings") {
  const std::vector<std::string> names = builtin_choice_tasks();
  CHECK(names == std::vector<std::string>{"arc_challenge", "arc_easy", "boolq", "commonsense_qa",
                                          "hellaswag", "lambada_openai", "mmlu", "openbookqa",
                                          "piqa", "social_iqa", "winogrande"});
  for (const std::string& name : names) {
    if (!path_exists(kScores / (name + ".json"))) continue;  // those in fewshot.json, and none
    INFO(name);
    const ChoiceTask task = load_choice_task(name, "");
    const Json golden = read_json_file(kScores / (name + ".json"));
    const fs::path file = find_choice_data(task, kData);
    CHECK(file == kData / (name + ".jsonl"));
    const std::vector<ChoiceDocument> documents = read_choice_documents(task, file, 0);
    REQUIRE(documents.size() == 60);
    CHECK(task.acc_norm == golden.at("figures").contains("acc_norm"));
    for (const Json& expected : golden.at("docs")) {
      const ChoiceDocument& document = documents.at(expected.at("index").get<size_t>());
      CHECK(document.gold == expected.at("gold").get<int64_t>());
      REQUIRE(document.choices.size() == expected.at("choices").size());
      for (size_t c = 0; c < document.choices.size(); ++c) {
        const Json& choice = expected.at("choices")[c];
        CHECK(document.choices[c].context == choice.at("context").get<std::string>());
        CHECK(document.choices[c].continuation == choice.at("continuation").get<std::string>());
        if (task.acc_norm) CHECK(document.choices[c].length == choice.at("length").get<int64_t>());
      }
    }
  }
}

TEST_CASE("a task of one's own: by its path, or by its name in a folder") {
  const TempFolder temp;
  write_file(temp / "capitals.yaml", kCapitals);
  write_file(temp / "boolq.yaml", kCapitals);
  const std::string path = (temp / "capitals.yaml").string();
  CHECK(is_choice_task("boolq", ""));
  CHECK(!is_choice_task("capitals", ""));
  CHECK(is_choice_task("capitals", temp.path()));
  CHECK(is_choice_task(path, ""));
  CHECK(load_choice_task("capitals", temp.path()).name == "capitals");
  CHECK(load_choice_task(path, "").origin == path);
  CHECK(load_choice_task("boolq", "").origin.empty());
  CHECK(load_choice_task("boolq", temp.path()).origin == temp / "boolq.yaml");  // one's own first
  CHECK(choice_task_names(temp.path()).size() == builtin_choice_tasks().size() + 1);
  expect_error(ExitCode::kUsage, {"eval.task_folder", "nowhere"},
               [&] { choice_task_names(temp / "nowhere"); });
  expect_input_error({"gone.yaml"}, [&] { load_choice_task((temp / "gone.yaml").string(), ""); });

  const auto documents =
      documents_of(kCapitals,
                   "{\"question\": \"Peru\", \"choices\": [\"Lima\", \"Rome\", \"\\u00c5bo\"], "
                   "\"answer\": 0}\n\n{\"question\": \"Italy\", \"choices\": [\"Lima\", \"Rome\"], "
                   "\"answer\": \"1\"}\n");
  REQUIRE(documents.size() == 2);
  CHECK(documents[0].choices[2].context == "Q: Peru\nA:");
  CHECK(documents[0].choices[2].continuation == " \u00c5bo");
  CHECK(documents[0].choices[2].length == 3);
  CHECK(documents[1].gold == 1);
  CHECK(documents[1].place.ends_with("data.jsonl:3"));
}

TEST_CASE("a task file with mistakes: all of them, each with its line") {
  const auto refused = [](const std::string& yaml, const std::vector<std::string>& words) {
    INFO(yaml);
    expect_error(ExitCode::kUsage, words, [&] { parse_choice_task(yaml, "mine", "mine.yaml"); });
  };
  refused("", {"`source.file` is missing", "`prompt.context` is missing", "`prompt.choices` is",
               "`answer.gold` is missing"});
  refused(R"(source:
  fil: x.jsonl
prompt:
  context: "{a|lower}"
  choice: "{b}"
  choices: "{b"
answer: {gold: "{c}", label: 1}
score: {metrics: [acc_nrm]}
)",
          {"mine.yaml:2: unknown key `source.fil`; did you mean `source.file`?",
           "mine.yaml:4: `prompt.context`: unknown function 'lower'",
           "mine.yaml:5: unknown key `prompt.choice`; did you mean `prompt.choices`?",
           "mine.yaml:6: `prompt.choices`: a '{' without its partner",
           "mine.yaml:7: unknown key `answer.label`; did you mean `answer.labels`?",
           "mine.yaml:8: `score.metrics`: unknown metric 'acc_nrm'; did you mean 'acc_norm'?",
           "acc is missing", "`source.file` is missing"});
  const std::string sound = kCapitals;
  refused(sound + "prompt: {}\n", {"key `prompt` given twice"});
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = sound;
    return text.replace(text.find(from), from.size(), to);
  };
  refused(changed("\"{choices}\"", "[]"), {"`prompt.choices`: there is none"});
  refused(changed("  choices:", "  continuation: \"{question}\"\n  choices:"),
          {"`prompt.continuation`", "all choices would be the same"});
  refused(changed("A:\"", "A: {choice}\"\n  continuation: \"{question}\""), {"acc_norm divides"});
  refused(changed("  context:", "  fields: [{value: x}]\n  context:"), {"has no `name`"});
  refused(changed("  context:", "  fields: [{name: choice, value: x}]\n  context:"),
          {"'choice' cannot be the name"});
  refused(changed("  context:",
                  "  fields: [{name: a, value: x}, {name: b, value: y}, {name: a, value: z}]\n"
                  "  context:"),
          {"mine.yaml:4: `prompt.fields.2.name`: 'a' is the name of a field above"});
  const std::string three = changed("\"{choices}\"", "[x, y, z]");
  const auto with_labels = [&](const std::string& labels) {
    std::string text = three;
    const std::string gold = "{gold: ";
    return text.replace(text.find(gold), gold.size(), "{labels: " + labels + ", gold: ");
  };
  refused(with_labels("[A, B]"),
          {"mine.yaml:6: `answer.labels`: there are 3 choices and 2 labels; expected a label for"});
  refused(with_labels("[A, A, B]"), {"mine.yaml:6: `answer.labels`: 'A' is listed twice"});
  expect_input_error({"mine.yaml:2", "not YAML"},
                     [&] { parse_choice_task("a: 'x\nb: 1", "mine", "mine.yaml"); });
  expect_input_error({"mine.yaml:1", "not UTF-8"},
                     [&] { parse_choice_task("a: \xff", "mine", "mine.yaml"); });
}

TEST_CASE("data with mistakes: file, line and field") {
  const auto refused = [](const std::string& lines, const std::vector<std::string>& words) {
    INFO(lines);
    expect_input_error(words, [&] { documents_of(kCapitals, lines); });
  };
  const std::string sound = R"({"question": "Peru", "choices": ["Lima", "Rome"], "answer": 0})"
                            "\n";
  CHECK(documents_of(kCapitals, sound + "{oops\n", 1).size() == 1);  // not read that far
  refused(sound + "{oops\n", {"data.jsonl:2:", "not valid JSON"});
  refused(sound + "[1]\n", {"data.jsonl:2: expected a JSON object"});
  refused(sound + "{\"question\": \"\xff\"}\n", {"data.jsonl:2:", "not UTF-8"});
  refused("{\"questin\": \"x\", \"choices\": [\"a\", \"b\"], \"answer\": 0}",
          {"data.jsonl:1: there is no field 'question'; did you mean 'questin'?"});
  refused("{\"question\": \"x\", \"choices\": [], \"answer\": 0}", {":1: there are 0 choices"});
  refused("{\"question\": \"x\", \"choices\": [\"a\", 1.5], \"answer\": 0}",
          {":1: the field 'choices' must be a text", "1.5"});
  for (const char* answer : {"2", "-1", "\"\"", "\"A\"", "\"0 \""}) {
    refused("{\"question\": \"x\", \"choices\": [\"a\", \"b\"], \"answer\": " +
                std::string(answer) + "}",
            {":1: the answer '", "0 to 1"});
  }
  refused("\n \n", {"it holds no documents"});
  refused("", {"data.jsonl"});

  const ChoiceTask arc = load_choice_task("arc_easy", "");
  const TempFolder temp;
  write_file(temp / "x.jsonl",
             R"({"question": "x", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, )"
             R"("answerKey": "C"})");
  expect_input_error({"x.jsonl:1: the answer 'C' is none among the labels A, B"},
                     [&] { read_choice_documents(arc, temp / "x.jsonl", 0); });
  write_file(temp / "x.jsonl",
             R"({"question": "x", "choices": {"text": ["a", "b"], "label": ["A", "B", "C"]}, )"
             R"("answerKey": "C"})");
  expect_input_error({"x.jsonl:1: there are 2 choices and 3 labels (A, B, C)"},
                     [&] { read_choice_documents(arc, temp / "x.jsonl", 0); });
  write_file(temp / "x.jsonl",
             R"({"question": "x", "choices": {"text": ["a", "b", "c"], "label": ["A", "A", "B"]}, )"
             R"("answerKey": "B"})");
  expect_input_error({"x.jsonl:1: among the labels A, A, B two are the same"},
                     [&] { read_choice_documents(arc, temp / "x.jsonl", 0); });
}

TEST_CASE("data that is missing: where it belongs, where people get it") {
  const TempFolder temp;
  const ChoiceTask task = load_choice_task("boolq", "");
  const auto refused = [&](const std::vector<std::string>& words, const std::string& hint) {
    expect_input_error(words, [&] {
      try {
        find_choice_data(task, temp.path());
      } catch (const Error& error) {
        INFO(error.hint());
        CHECK(error.hint().find(hint) != std::string::npos);
        throw;
      }
    });
  };
  refused({(temp / "boolq" / "boolq.jsonl").string(), (temp / "boolq.jsonl").string()},
          "super_glue, configuration boolq");
  write_file(temp / "piqa.parquet", "PAR1");  // another task's
  refused({"its data is missing"}, "Hugging Face Hub");
  create_folders(temp / "boolq");
  write_file(temp / "boolq" / "data-7.parquet", "PAR1");
  refused({"its data is missing"}, (temp / "boolq" / "data-7.parquet").string() +
                                       " is there: if this is the file, " +
                                       "rename it to boolq.parquet");

  // Each goes before those above it; a split's name counts in the task's own folder only.
  write_file(temp / "validation.jsonl", "{}");
  refused({"its data is missing"}, "");
  for (const char* name :
       {"boolq.parquet", "boolq.json.gz", "boolq.json", "boolq.jsonl.zst", "boolq.jsonl.gz",
        "boolq.jsonl", "boolq/validation/0000.parquet", "boolq/validation-00000-of-00001.parquet",
        "boolq/validation.json", "boolq/boolq.parquet", "boolq/boolq.jsonl"}) {
    create_folders((temp / name).parent_path());
    write_file(temp / name, "{}");
    CHECK(find_choice_data(task, temp.path()) == temp / name);
  }
  expect_input_error({"the file of its examples is missing", "boolq_train.jsonl"},
                     [&] { find_example_data(task, temp.path()); });
  try {
    find_example_data(task, temp.path());
  } catch (const Error& error) {
    CHECK(error.hint().find("the split is train") != std::string::npos);
  }
  for (const char* name :
       {"boolq_train.parquet", "boolq/train-00000-of-00001.parquet", "boolq/boolq_train.json"}) {
    write_file(temp / name, "{}");
    CHECK(find_example_data(task, temp.path()) == temp / name);
  }

  write_file(temp / "mine.yaml", kCapitals);
  ChoiceTask own = load_choice_task((temp / "mine.yaml").string(), "");
  write_file(temp / "capitals.jsonl", "{}");
  CHECK(find_choice_data(own, "nowhere") == temp / "capitals.jsonl");   // beside the task's file
  CHECK(find_example_data(own, "nowhere") == temp / "capitals.jsonl");  // the documents themselves
  CHECK(own.examples.spare == 1);
  own.file = "sub/capitals.jsonl";
  create_folders(temp / "sub");
  write_file(temp / "sub" / "capitals.json", "{}");
  CHECK(find_choice_data(own, "nowhere") == temp / "sub" / "capitals.json");
}
