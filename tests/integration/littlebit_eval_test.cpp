// littlebit-eval as a user runs it: scores, forward passes, ids, and wrong input of every kind.
#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "integration/outcome.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"
#include "littlebit/core/write_file.h"
#include "littlebit/io/json.h"
#include "littlebit/io/safetensors_writer.h"
#include "littlebit/nn/tensor_io.h"
#include "support/authors_folder.h"
#include "support/paths.h"
#include "support/tiny_model.h"

using namespace littlebit;
using littlebit::test::Outcome;

namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;

const fs::path kSource = littlebit::test::kSourceDir;
const std::string kTeacher = (kSource / "data" / "wiki-llama-5m").string();
const std::string kData = (kSource / "data").string();

Outcome eval(const std::vector<std::string>& arguments, const std::string& prefix = "") {
  return test::run_program("littlebit-eval", arguments, prefix);
}

fs::path golden(const std::string& name) { return kSource / "tests" / "golden" / "models" / name; }

at::Tensor tensor_of(const SafetensorsFile& file, const std::string& name) {
  const TensorView* view = file.find(name);
  REQUIRE(view != nullptr);
  return map_tensor(*view).clone();
}

void write_ids(const fs::path& path, const std::string& name, const at::Tensor& ids) {
  SafetensorsWriter writer(path);
  writer.declare(name, dtype_of(ids.scalar_type()), ids.sizes().vec());
  write_tensor(writer, ids);
  writer.commit();
}

// A message and nothing else.
void check_only_refused(const Outcome& outcome, int code, const std::vector<std::string>& words) {
  test::check_refused(outcome, code, words);
  CHECK(outcome.out.empty());
}

}  // namespace

TEST_CASE("perplexity of the shipped teacher: table, results.json, YAML and words") {
  const TempFolder temp;
  const Outcome first = eval({"--model", kTeacher, "--tasks", "wikitext2", "--data-root", kData,
                              "--seqlen", "128", "--limit", "6", "--output",
                              (temp / "new" / "results.json").string(), "--threads", "1"});
  INFO(first.err);
  REQUIRE(first.code == 0);
  CHECK_THAT(first.out, Contains("wikitext2") && Contains("concatenated_chunks@128"));
  const Json results = read_json_file(temp / "new" / "results.json");
  CHECK(results.at("model") == kTeacher);
  const Json& score = results.at("tasks").at("wikitext2");
  CHECK(score.at("protocol") == "concatenated_chunks@128");
  CHECK(score.at("tokens") == 768);
  CHECK(score.at("perplexity").get<double>() ==
        Approx(std::exp(score.at("nll").get<double>())).epsilon(1e-9));
  CHECK(score.at("perplexity").get<double>() > 20);
  CHECK(score.at("perplexity").get<double>() < 200);
  CHECK(score.at("seconds").get<double>() > 0);

  write_file(temp / "eval.yaml", "model:\n  path: " + kTeacher +
                                     "\neval:\n  tasks: [wikitext2]\n  data_root: " + kData +
                                     "\n  sequence_length: 64\n  limit: 6\n");
  const Outcome second = eval({"--config", (temp / "eval.yaml").string(), "--batch-size", "2",
                               "--text", kData + "/README.md", "eval.sequence_length=128",
                               "eval.output=" + (temp / "second.json").string()});
  INFO(second.err);
  REQUIRE(second.code == 0);
  const Json tasks = read_json_file(temp / "second.json").at("tasks");
  // The batch size and the threads change the order of sums only.
  CHECK(tasks.at("wikitext2").at("nll").get<double>() ==
        Approx(score.at("nll").get<double>()).epsilon(1e-5));
  CHECK(tasks.at("text").at("protocol") == "concatenated_chunks@128");
  CHECK(tasks.size() == 2);
}

TEST_CASE("a teacher beside the model: its divergence, and each chunk's") {
  const TempFolder temp;
  const Outcome outcome =
      eval({"--model", kTeacher, "--tasks", "wikitext2,rolling", "--text", kData + "/README.md",
            "--data-root", kData, "--seqlen", "32", "--limit", "3", "--teacher", kTeacher,
            "--output", (temp / "r.json").string(), "--samples", (temp / "s.jsonl").string()});
  INFO(outcome.err);
  REQUIRE(outcome.code == 0);
  CHECK_THAT(outcome.out, Contains("kl"));
  const Json results = read_json_file(temp / "r.json");
  CHECK(results.at("teacher") == kTeacher);
  CHECK(results.at("teacher_hash") == results.at("model_hash"));
  const Json& score = results.at("tasks").at("wikitext2");
  CHECK(std::abs(score.at("kl").get<double>()) < 1e-6);
  CHECK_FALSE(results.at("tasks").at("rolling").contains("kl"));
  std::vector<std::string> lines = split(read_file(temp / "s.jsonl"), '\n');
  REQUIRE(lines.size() == 4);  // rolling has none; and what stands behind the last newline
  double nll = 0;
  for (size_t i = 0; i < 3; ++i) {
    const Json line = parse_json(lines[i], "samples");
    CHECK(line.at("task") == "wikitext2");
    CHECK(line.at("index") == i);
    CHECK(line.contains("kl"));
    nll += line.at("nll").get<double>() / 3;
  }
  CHECK(score.at("nll").get<double>() == Approx(nll).epsilon(1e-9));
}

TEST_CASE("results.json says with what it was made; compare sets results side by side") {
  const TempFolder temp;
  const auto score = [&](const char* name, const char* length) {
    const std::string file = (temp / name).string();
    const Outcome outcome =
        eval({"--model", kTeacher, "--tasks", "wikitext2,rolling", "--text", kData + "/README.md",
              "--data-root", kData, "--seqlen", length, "--limit", "1", "--output", file});
    INFO(outcome.err);
    REQUIRE(outcome.code == 0);
    return file;
  };
  const std::string a = score("a.json", "64"), b = score("b.json", "32");
  const Json results = read_json_file(a);
  CHECK(results.at("model_hash").get<std::string>().size() == 32);
  CHECK(results.at("packed") == false);
  CHECK(results.at("tokenizer").at("special_tokens") == Json({1}));
  CHECK(results.at("configuration").at("sequence_length") == 64);
  CHECK(results.at("environment").at("dtype") == "fp32");
  CHECK(results.at("environment").at("threads").get<int>() >= 1);
  CHECK(results.at("environment").contains("libtorch"));
  const Json& rolling = results.at("tasks").at("rolling");
  CHECK(rolling.at("protocol") == "rolling@64");
  CHECK(rolling.at("data") == kData + "/README.md");
  CHECK(rolling.at("data_hash").get<std::string>().size() == 32);

  const Outcome same = eval({"compare", a, a});
  INFO(same.err);
  REQUIRE(same.code == 0);
  CHECK(same.err.empty());
  CHECK_THAT(same.out, Contains("| wikitext2 | perplexity") && Contains("+0.0000") &&
                           Contains("1.0000") && Contains("bits_per_byte"));
  const Outcome differ = eval({"compare", a, b});
  REQUIRE(differ.code == 0);
  CHECK_THAT(differ.err, Contains("different protocols, concatenated_chunks@64 and "
                                  "concatenated_chunks@32"));
  CHECK_THAT(differ.out, Contains("difference") && Contains("ratio"));

  write_file(temp / "one.json", R"({"tasks": {"boolq": {"protocol": "p", "acc": 0.5,
      "acc_stderr": 0.03, "documents": 100}, "piqa": {"protocol": "p", "acc": 0.5}}})");
  write_file(temp / "two.json", R"({"tasks": {"boolq": {"protocol": "p", "acc": 0.625,
      "acc_stderr": 0.04, "documents": 100}}})");
  const Outcome choices =
      eval({"compare", (temp / "one.json").string(), (temp / "two.json").string()});
  REQUIRE(choices.code == 0);
  CHECK_THAT(choices.out, Contains("0.5000 \u00b1 0.0300") && Contains("0.6250 \u00b1 0.0400") &&
                              Contains("+0.1250 \u00b1 0.0500") && Contains("1.2500"));
  CHECK_THAT(choices.err, Contains("piqa is not in two"));

  // What lm-evaluation-harness writes: no version, metrics by filters, its own name of `rolling`.
  write_file(temp / "harness.json", R"({"results": {
      "boolq": {"alias": "boolq", "acc,none": 0.75, "acc_stderr,none": 0.03},
      "wikitext": {"alias": "wikitext", "word_perplexity,none": 30.5, "word_perplexity_stderr,none": "N/A"},
      "gsm8k": {"exact_match,strict-match": 0.25, "exact_match_stderr,strict-match": 0.01}},
      "versions": {"boolq": 2.0}, "n-shot": {"boolq": 0, "gsm8k": 5}, "max_length": 1024,
      "n-samples": {"boolq": {"original": 3270, "effective": 100}}})");
  write_file(temp / "ours.json", R"({"tasks": {"boolq": {"protocol": "lm_eval_0.4.8", "acc": 0.5,
      "acc_stderr": 0.04, "documents": 100, "data_hash": "x"},
      "rolling": {"protocol": "rolling@1024", "word_perplexity": 61}}})");
  const std::string harness = (temp / "harness.json").string();
  const Outcome both = eval({"compare", (temp / "ours.json").string(), harness});
  REQUIRE(both.code == 0);
  CHECK_THAT(both.out, Contains("+0.2500 \u00b1 0.0500") && Contains("0.5000"));
  CHECK_THAT(both.out, Contains("| rolling | word_perplexity |         61.0000"));
  CHECK_THAT(both.err, Contains("gsm8k is only in harness") && !Contains("protocols"));
  const Outcome twice = eval({"compare", harness, harness});
  REQUIRE(twice.code == 0);
  CHECK_THAT(twice.out, Contains("exact_match,strict-match") && Contains("0.2500"));
  write_file(temp / "shots.json",
             R"({"tasks": {"boolq": {"protocol": "lm_eval_0.4.8@5shot", "acc": 0.5}}})");
  CHECK_THAT(eval({"compare", (temp / "shots.json").string(), harness}).err,
             Contains("different protocols, lm_eval_0.4.8@5shot and lm_eval"));

  check_only_refused(eval({"compare", a}), 2, {"two or more"});
  check_only_refused(eval({"compare", a, (temp / "none.json").string()}), 3, {"none.json"});
  check_only_refused(eval({"compare", a, kTeacher + "/config.json"}), 3, {"config.json", "tasks"});
  write_file(temp / "half.json", R"({"tasks": {"boolq")");
  check_only_refused(eval({"compare", a, (temp / "half.json").string()}), 3, {"half.json:1"});
  check_only_refused(eval({"compare", a, (temp / "two.json").string()}), 3, {"no task in common"});
}

TEST_CASE("forward gives the golden outputs, from int32 and int64 ids") {
  const TempFolder temp;
  const fs::path folder = golden("llama_gqa");
  const SafetensorsFile expected(folder / "expected.safetensors");
  const at::Tensor ids = tensor_of(expected, "input_ids");
  for (const auto type : {at::kInt, at::kLong}) {
    const std::string input = (temp / "ids.safetensors").string(),
                      output = (temp / "out.safetensors").string();
    write_ids(input, "input_ids", ids.to(type));
    std::vector<std::string> arguments = {"forward", "--model",  folder.string(), "--input",
                                          input,     "--output", output};
    if (type == at::kLong) arguments.emplace_back("--hidden-states");
    const Outcome outcome = eval(arguments);
    INFO(outcome.err);
    REQUIRE(outcome.code == 0);
    const SafetensorsFile got(output);
    CHECK(got.tensors().size() == (type == at::kLong ? 3 : 2));
    for (const TensorView& tensor : got.tensors()) {
      CHECK(tensor.dtype == Dtype::kF32);
      // The fixture's own tolerance.
      CHECK(
          at::allclose(tensor_of(got, tensor.name), tensor_of(expected, tensor.name), 1e-4, 5e-5));
    }
  }
}

TEST_CASE("forward warns of sequences longer than the model was made for") {
  const TempFolder temp;
  fs::create_directories(temp / "model");
  test::write_tiny_llama(temp / "model", {});
  const int64_t longest =
      read_json_file(temp / "model" / "config.json").at("max_position_embeddings").get<int64_t>();
  for (const int64_t more : {0, 1}) {
    write_ids(temp / "ids", "input_ids", at::zeros({1, longest + more}, at::kInt));
    const Outcome outcome = eval({"forward", "--model", (temp / "model").string(), "--input",
                                  (temp / "ids").string(), "--output", (temp / "out").string()});
    test::require_done(outcome);
    CHECK((outcome.err.find("warning: ") != std::string::npos) == (more > 0));
    if (more > 0) CHECK_THAT(outcome.err, Contains("the model was made for"));
  }
}

TEST_CASE("forward and perplexity of a packed folder are those of its effective weights") {
  const TempFolder temp;
  create_folders(temp / "teacher");
  test::write_tiny_llama(temp / "teacher", {.tied = true});
  const test::AuthorsFolder authors(temp / "teacher", {});
  authors.write(temp / "packed");
  authors.write_dense(temp / "dense");
  write_ids(temp / "ids", "input_ids", at::randint(48, {2, 20}, at::kLong));
  for (const char* model : {"packed", "dense"}) {
    const Outcome outcome =
        eval({"forward", "--model", (temp / model).string(), "--input", (temp / "ids").string(),
              "--output", (temp / model).string() + ".out", "--dtype", "fp32"});
    INFO(outcome.err);
    REQUIRE(outcome.code == 0);
    CHECK(outcome.err.find("ignored") == std::string::npos);
  }
  const SafetensorsFile packed((temp / "packed").string() + ".out"),
      dense((temp / "dense").string() + ".out");
  CHECK(at::allclose(tensor_of(packed, "logits"), tensor_of(dense, "logits"), 1e-4, 1e-4));
}

TEST_CASE("tokenize needs the tokenizer's files only") {
  const TempFolder temp;
  const fs::path fixture = kSource / "tests" / "golden" / "tokenizers" / "stories260k";
  write_file(temp / "strings.json", R"(["Once upon a time", "", "caf\u00e9 \ud83d\ude00\n"])");
  const Outcome outcome =
      eval({"tokenize", "--model", fixture.string(), "--input", (temp / "strings.json").string(),
            "--output", (temp / "ids.json").string()});
  INFO(outcome.err);
  REQUIRE(outcome.code == 0);
  const Json ids = read_json_file(temp / "ids.json");
  REQUIRE(ids.size() == 3);
  CHECK(ids[0].at("ids") == Json({403, 407, 261, 378}));
  CHECK(ids[0].at("ids_with_special") == Json({1, 403, 407, 261, 378}));
  CHECK(ids[1].at("ids").empty());
  CHECK(ids[1].at("ids_with_special") == Json({1}));
  CHECK(ids[2].at("ids").size() > 4);
}

TEST_CASE("wrong words on the command line end in exit code 2") {
  const Outcome nothing = eval({});
  CHECK(nothing.code == 2);
  CHECK_THAT(nothing.err, Catch::StartsWith("littlebit-eval --model DIR --tasks"));
  check_only_refused(eval({"--tasks", "wikitext2"}), 2, {"no model was given", "--model DIR"});
  check_only_refused(eval({"--model", kTeacher}), 2, {"nothing to score", "wikitext2"});
  check_only_refused(eval({"--model", kTeacher, "--tasks", "wikitxt2"}), 2,
                     {"wikitxt2", "did you mean 'wikitext2'?"});
  check_only_refused(eval({"--modle", kTeacher}), 2, {"--modle"});
  check_only_refused(
      eval({"--model", kTeacher, "--tasks", "wikitext2", "eval.limt=3", "model.pth=x"}), 2,
      {"eval.limt", "eval.limit", "model.pth", "model.path"});
  check_only_refused(eval({"--model", kTeacher, "--tasks", "wikitext2", "--limit", "many"}), 2,
                     {"eval.limit", "many"});
  check_only_refused(eval({"--model", kTeacher, "--tasks", "wikitext2", "--dtype", "fp8"}), 2,
                     {"fp32", "bf16", "fp8"});
  check_only_refused(
      eval({"--model", kTeacher, "--tasks", "wikitext2", "--seqlen", "1", "--data-root", kData}), 2,
      {"predicts nothing"});
  check_only_refused(eval({"--model", golden("opt").string(), "--tasks", "wikitext2"}), 3,
                     {"tokenizer"});
  check_only_refused(eval({"forward", "--model", kTeacher}), 2, {"--input"});
  CHECK(eval({"--version"}).out == "littlebit-eval " LITTLEBIT_VERSION "\n");
  const Outcome help = eval({"--help"});
  CHECK(help.code == 0);
  CHECK_THAT(help.out, Contains("--tasks") && Contains("eval.sequence_length") &&
                           Contains("forward") && Contains("tokenize"));
}

TEST_CASE("missing or damaged input ends in exit code 3") {
  const TempFolder temp;
  const auto path = [&](const char* name) { return (temp / name).string(); };
  check_only_refused(eval({"--model", path("none"), "--tasks", "wikitext2"}), 3,
                     {"no such folder"});
  check_only_refused(
      eval({"--model", kTeacher, "--tasks", "wikitext2", "--data-root", path("none")}), 3,
      {"wiki.test.raw", "--data-root"});
  check_only_refused(eval({"--model", kTeacher, "--text", path("none")}), 3, {"none"});
  write_file(temp / "short.txt", "A short text.");
  check_only_refused(eval({"--model", kTeacher, "--text", path("short.txt")}), 3,
                     {"less than one chunk of 1,024"});

  const auto forward = [&](const fs::path& model) {
    return eval(
        {"forward", "--model", model.string(), "--input", path("ids"), "--output", path("out")});
  };
  check_only_refused(forward(kTeacher), 3, {"ids", "No such file"});
  write_file(temp / "ids", "no safetensors");
  check_only_refused(forward(kTeacher), 3, {"ids"});
  write_ids(temp / "ids", "tokens", at::zeros({1, 3}, at::kLong));
  check_only_refused(forward(kTeacher), 3, {"no tensor 'input_ids'"});
  write_ids(temp / "ids", "input_ids", at::zeros({3}, at::kLong));
  check_only_refused(forward(kTeacher), 3, {"[3]", "[batch, positions]"});
  write_ids(temp / "ids", "input_ids", at::zeros({1, 3}));
  check_only_refused(forward(kTeacher), 3, {"int32 or int64"});
  write_ids(temp / "ids", "input_ids", at::tensor({5, 4096}, at::kInt).unsqueeze(0));
  check_only_refused(forward(kTeacher), 3, {"4096", "0 to 4095"});
  write_ids(temp / "ids", "input_ids", at::full({1, 3}, -1, at::kLong));
  check_only_refused(forward(kTeacher), 3, {"-1"});
  write_ids(temp / "ids", "input_ids", at::ones({1, 4000}, at::kLong));
  check_only_refused(forward(golden("opt")), 3, {"4000", "positions"});
  CHECK_FALSE(fs::exists(temp / "out"));

  // A model cut short, and one of another size than its config.json says.
  create_folders(temp / "model");
  test::write_tiny_llama(temp / "model");
  write_ids(temp / "ids", "input_ids", at::ones({1, 4}, at::kLong));
  const std::string bytes = read_file(temp / "model" / "model.safetensors");
  write_file(temp / "model" / "model.safetensors", bytes.substr(0, bytes.size() - 1));
  check_only_refused(forward(temp / "model"), 3, {"model.safetensors"});
  create_folders(temp / "other");
  test::write_tiny_llama(temp / "other", {.intermediate = 48});
  fs::copy_file(temp / "other" / "config.json", temp / "model" / "config.json",
                fs::copy_options::overwrite_existing);
  write_file(temp / "model" / "model.safetensors", bytes);
  check_only_refused(forward(temp / "model"), 3, {"gate_proj.weight", "[40, 32]", "[48, 32]"});

  const auto tokenize = [&](const std::string& text) {
    write_file(temp / "strings", text);
    return eval(
        {"tokenize", "--model", kTeacher, "--input", path("strings"), "--output", path("out")});
  };
  check_only_refused(tokenize("{}"), 3, {"list of strings"});
  check_only_refused(tokenize("[\"a\", 3]"), 3, {"entry 1"});
  check_only_refused(tokenize("[\"a\""), 3, {"strings:1"});
}

TEST_CASE("a tokenizer with more ids than the model is a contradiction") {
  const TempFolder temp;
  test::write_tiny_llama(temp.path());  // 48 ids
  for (const char* name : {"tokenizer.model", "tokenizer_config.json"}) {
    fs::copy_file(kSource / "tests" / "golden" / "stories260k" / name, temp / name);
  }
  write_file(temp / "text.txt", "Once upon a time");
  check_only_refused(eval({"--model", temp.path().string(), "--text", (temp / "text.txt").string(),
                           "--seqlen", "2"}),
                     2, {"512 ids", "48"});
}

TEST_CASE("output that cannot be written ends in exit code 5") {
  const TempFolder temp;
  write_file(temp / "file", "");
  check_only_refused(eval({"--model", kTeacher, "--tasks", "wikitext2", "--data-root", kData,
                           "--output", (temp / "file" / "results.json").string()}),
                     5, {"file"});
  write_ids(temp / "ids", "input_ids", at::ones({1, 40}, at::kLong));
  const std::vector<std::string> forward = {"forward",
                                            "--model",
                                            kTeacher,
                                            "--input",
                                            (temp / "ids").string(),
                                            "--output",
                                            (temp / "out").string()};
  // 40 x 4096 logits are 640 KiB; the limit is one block.
  check_only_refused(eval(forward, "ulimit -f 1;"), 5, {"out"});
  CHECK_FALSE(fs::exists(temp / "out"));
  CHECK_FALSE(fs::exists(temp / "out.partial"));
}

#ifndef __SANITIZE_ADDRESS__  // which takes more address space than the limit leaves
TEST_CASE("memory that is full ends in exit code 5") {
  const TempFolder temp;
  write_ids(temp / "ids", "input_ids", at::ones({512, 1000}, at::kInt));  // 8 GB of logits
  check_only_refused(eval({"forward", "--model", kTeacher, "--input", (temp / "ids").string(),
                           "--output", (temp / "out").string(), "--threads", "1"},
                          "ulimit -v 3000000;"),
                     5, {"memory is full"});
}
#endif

TEST_CASE("a stop signal ends the scoring with exit code 143") {
  const TempFolder temp;
  const std::string result = (temp / "results.json").string();
  // The shell waits until the file is begun, then stops the program.
  const std::string script =
      std::string(littlebit::test::kBinaryDir) + "/bin/littlebit-eval --model " +
      test::shell_quoted(kTeacher) + " --tasks wikitext2 --data-root " + test::shell_quoted(kData) +
      " --batch-size 1 --seqlen 64 --output " + test::shell_quoted(result) +
      " >/dev/null 2>&1 & pid=$!; while [ ! -e " + test::shell_quoted(result + ".partial") +
      " ]; do sleep 0.05; kill -0 $pid || exit 99; done; kill -TERM $pid; wait $pid";
  const int status = std::system(("sh -c " + test::shell_quoted(script)).c_str());
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 143);
  CHECK_FALSE(fs::exists(result));
  CHECK_FALSE(fs::exists(result + ".partial"));
}

TEST_CASE("results may stand in the model's folder, and be replaced by later ones") {
  const TempFolder temp;
  const fs::path model = temp / "model", results = model / "results.json";
  fs::copy(kTeacher, model);
  for (int i = 0; i < 2; ++i) {
    test::require_done(eval({"--model", model.string(), "--text", kData + "/README.md", "--seqlen",
                             "16", "--limit", "1", "--output", results.string()}));
    CHECK(read_json_file(results).at("model") == model.string());
  }
}

TEST_CASE("keys and their other spellings: the later word wins") {
  const std::vector<std::string> key = {"eval.sequence_length=8"}, option = {"--seqlen", "16"};
  for (const bool key_first : {true, false}) {
    std::vector<std::string> words = key_first ? key : option;
    words.insert(words.end(),
                 {"--model", kTeacher, "--text", kData + "/README.md", "--limit", "1"});
    const std::vector<std::string>& last = key_first ? option : key;
    words.insert(words.end(), last.begin(), last.end());
    const Outcome outcome = eval(words);
    test::require_done(outcome);
    CHECK_THAT(outcome.out, Contains(key_first ? "chunks@16" : "chunks@8"));
  }
}
