// Folders, texts and words as people have them: what other tools take without harm goes on, what is
// not what its name says is told.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "integration/outcome.h"
#include "integration/wrong_input.h"
#include "littlebit/core/strings.h"
#include "littlebit/io/json.h"
#include "support/paths.h"

using namespace littlebit;
using namespace littlebit::test;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

const std::string kStories = (fs::path(kSourceDir) / "tests/golden/stories260k").string();

// The documents that a run with these sources read.
std::string documents(const Workshop& shop, const std::string& sources) {
  const Outcome outcome = shop.train({"data.train=" + sources, "data.sequence_length=8"});
  INFO(outcome.err);
  REQUIRE(outcome.code == 0);
  const size_t end = outcome.err.find(" documents, ");
  REQUIRE(end != std::string::npos);
  const size_t begin = outcome.err.rfind("; ", end) + 2;
  shop.shell("rm -r out");
  return outcome.err.substr(begin, outcome.err.find('\n', end) - begin);
}

// The score of a text in a results file.
double score_of(const Workshop& shop, const std::string& file) {
  return read_json_file(shop / file)["tasks"]["text"]["nll"].get<double>();
}

// Checked and run, which must agree.
void refused_by_both(const Workshop& shop, const std::string& sources,
                     const std::vector<std::string>& words) {
  INFO(sources);
  check_refused(shop.train({"--check", "data.train=" + sources}), 3, words);
  check_refused(shop.train({"data.train=" + sources}), 3, words);
}

std::string lines_of(int count, const std::string& ending) {
  std::string text;
  for (int i = 0; i < count; ++i) text += "Once upon a time." + ending + "There was." + ending;
  return text;
}

}  // namespace

TEST_CASE("real text: CR LF and CR end a line as LF does, in every format and score") {
  const Workshop shop;
  double scores[3];
  const char* endings[] = {"\n", "\r\n", "\r"};
  for (int i = 0; i < 3; ++i) {
    shop.write("lines.txt", lines_of(40, endings[i]));
    CHECK(documents(shop, "[{path: lines.txt, format: lines}]").starts_with("80 documents"));
    const Outcome outcome = shop.eval(
        {"--model", "model", "--text", "lines.txt", "--seqlen", "16", "--output", "r.json"});
    require_done(outcome);
    scores[i] = score_of(shop, "r.json");
  }
  CHECK(scores[1] == scores[0]);
  CHECK(scores[2] == scores[0]);
}

TEST_CASE("real text: a jsonl file is taken for one by its name; as text it is told") {
  const Workshop shop;
  std::string records;
  for (int i = 0; i < 8; ++i) records += "{\"text\": \"Once upon a time there was a girl.\"}\r\n";
  for (const char* name : {"d.jsonl", "d.json"}) {
    shop.write(name, records);
    CHECK(documents(shop, std::string("[") + name + "]").starts_with("8 documents"));
  }
  shop.write("d.txt", records);
  for (const char* source : {"[d.txt]", "[{path: d.jsonl, format: text}]"}) {
    const Outcome outcome = shop.train({std::string("data.train=") + source});
    check_outcome(outcome, 0, {"warning: d.", "JSON records, read as plain text"});
    shop.shell("rm -r out");
  }
}

TEST_CASE("real text: a file that is another thing than its name says, in a check and a run") {
  const Workshop shop;
  shop.shell("mkdir folder; gzip -k text.txt; cp text.txt.gz a.GZ; mv text.txt.gz text.jsonl");
  shop.write("bad.txt.gz", "\x1F\x8Bjunk");
  shop.write("a.zst", std::string("\x28\xB5\x2F\xFD\x24\0", 6));
  shop.write("a.xz", std::string("\xFD"
                                 "7zXZ\0\0\4",
                                 8));
  shop.write("a.bz2", "BZh91AY&SY12345");
  shop.write("a.zip", "PK\x03\x04 and so on");
  shop.write("a.txt", "PAR1 and so on");
  shop.write("a.arrow", std::string("\xFF\xFF\xFF\xFF\x78\2\0\0", 8));
  shop.write("array.jsonl", " [\n{\"text\": \"a\"}]\n");
  shop.write("empty.txt", "");
  std::string wide16, wide32;
  for (const char c : std::string("Once upon a time there was a girl.\n")) {
    wide16 += std::string(1, '\0') + c;
    wide32 += c + std::string(3, '\0');
  }
  shop.write("wide16.txt", wide16);
  shop.write("wide32.txt", wide32);
  shop.write("marked.txt", "\xFF\xFE" + wide16.substr(1));
  refused_by_both(shop, "[folder]", {"folder"});
  refused_by_both(shop, "[/dev/null]", {"/dev/null"});
  refused_by_both(shop, "[empty.txt]", {"empty"});
  refused_by_both(shop, "[bad.txt.gz]", {"gzip"});
  refused_by_both(shop, "[a.GZ]", {"compressed with gzip", "does not end in .gz"});
  refused_by_both(shop, "[{path: text.jsonl, format: jsonl}]", {"compressed with gzip"});
  refused_by_both(shop, "[a.zst]", {"zstd"});
  refused_by_both(shop, "[a.xz]", {"with xz"});
  refused_by_both(shop, "[a.bz2]", {"bzip2"});
  refused_by_both(shop, "[a.zip]", {"zip"});
  refused_by_both(shop, "[a.txt]", {"Parquet"});
  refused_by_both(shop, "[a.arrow]", {"Arrow"});
  refused_by_both(shop, "[array.jsonl]", {"JSON array", "json.dumps"});
  refused_by_both(shop, "[wide16.txt]", {"UTF-16BE", "iconv"});
  refused_by_both(shop, "[wide32.txt]", {"UTF-32LE"});
  refused_by_both(shop, "[marked.txt]", {"UTF-16LE"});
}

TEST_CASE("real text: half a data set is scored with a warning") {
  const Workshop shop;
  shop.shell("mkdir wikitext2");
  shop.write("wikitext2/wiki.test.raw", lines_of(30, " \n"));
  for (const char* task : {"wikitext2", "rolling"}) {
    const Outcome outcome = shop.eval({"--model", kStories, "--tasks", task, "--data-root", ".",
                                       "--seqlen", "16", "--limit", "2"});
    check_outcome(outcome, 0, {"warning: ", "60 lines", "4,358"});
  }
}

TEST_CASE("real words: a path on the command line is the very text, ~ is the home folder") {
  const Workshop shop;
  const std::string home = "HOME=" + shell_quoted((shop / "home").string());
  shop.shell("mkdir home");
  check_outcome(shop.train({"output.dir=runs/exp #1"}), 0, {});
  CHECK(fs::is_directory(shop / "runs/exp #1/checkpoints"));
  check_refused(shop.train({"model.path=model #2"}), 3, {"model #2: no such folder"});
  check_refused(shop.train({"train.steps=2 #3"}), 2, {"a comment"});
  check_outcome(shop.train({"output.dir=~/runs/a"}, home), 0, {});
  CHECK(fs::is_directory(shop / "home/runs/a/checkpoints"));
  CHECK_FALSE(fs::exists(shop / "~"));
  shop.shell("cp text.txt home/t.txt");
  shop.write("c.yaml", "data: {train: [{path: ~/t.txt, format: text}]}\noutput: {dir: ~/runs/b}\n");
  shop.shell("cp c.yaml home/c.yaml");
  check_outcome(shop.train({"--config=~/c.yaml", "output.dir=\"~/runs/b\""}, home), 0, {});
  CHECK(fs::is_directory(shop / "home/runs/b/checkpoints"));
  check_refused(shop.train({"output.dir=~nobody/a"}), 2, {"only ~ and ~/"});
}

TEST_CASE("real folders: what does not act is told and nothing is refused for it") {
  const Workshop shop;
  shop.replace("model/config.json", "\"mlp_bias\"",
               "\"is_llama_config\": true, \"colour\": 7, "
               "\"max_sequence_length\": 64, \"mlp_bias\"");
  shop.write("model/adapter_config.json", "{}");
  shop.write("model/adapter_model.safetensors", "x");
  shop.change_tensors([](std::vector<Workshop::Tensor>& tensors) {
    tensors.push_back({"k_scale", "F8_E4M3", {1}, "x"});
  });
  const Outcome outcome = shop.forward();
  check_outcome(outcome, 0,
                {"ignored: 'colour' = 7\n", "adapter_config.json", "not applied", "k_scale"});
  check_outcome(shop.train_ids({"--check"}), 0, {"ignored: 'colour' = 7\n", "not applied"});
}

TEST_CASE("real folders: a model with more rows than its tokenizer has tokens goes on generating") {
  const Workshop shop;
  shop.shell("cp -r " + shell_quoted(kStories) + " padded; chmod -R u+w padded");
  shop.replace("padded/config.json", "\"vocab_size\": 512", "\"vocab_size\": 576");
  shop.shell("mv model real; mv padded model");  // change_tensors() knows this name
  shop.change_tensors([](std::vector<Workshop::Tensor>& tensors) {
    for (Workshop::Tensor& tensor : tensors) {
      if (tensor.name != "model.embed_tokens.weight") continue;
      // The rows behind are those of frequent tokens, so that they are drawn.
      const std::string rows = tensor.bytes.substr(0, tensor.bytes.size() / 8);
      tensor.shape[0] = 576;
      tensor.bytes += rows;
    }
  });
  const Outcome outcome =
      shop.eval({"generate", "--model", "model", "--prompt", "Once upon a time", "--max-new-tokens",
                 "60", "--temperature", "8", "--seed", "3"});
  check_outcome(outcome, 0, {"generated: 60 tokens", "the requested number was reached"});
}

TEST_CASE("closed standard descriptors do not become the next files") {
  const Workshop shop;
  const auto score = [&](const std::string& name, const std::string& prefix) {
    const Outcome outcome = shop.eval({"--model", "model", "--text", "text.txt", "--seqlen", "16",
                                       "--limit", "2", "--output", name},
                                      prefix);
    CHECK(outcome.code == 0);
    return score_of(shop, name);
  };
  const double right = score("right.json", "");
  // The shell closes them for the program, which is started by another shell.
  const std::string program = std::string(kBinaryDir) + "/bin/littlebit-eval";
  for (const char* closed : {"2>&-", ">&- 2>&-", "<&- >&- 2>&-", "<&-"}) {
    INFO(closed);
    shop.shell(shell_quoted(program) + " --model model --text text.txt --seqlen 16 --limit 2 " +
               "--output closed.json " + closed + (std::string(closed) == "<&-" ? " >o 2>&1" : ""));
    CHECK(score_of(shop, "closed.json") == right);
  }
}

TEST_CASE("a reader that closes early is no failure, an output that cannot be written is") {
  const Workshop shop;
  const std::string bin = std::string(kBinaryDir) + "/bin/";
  const std::vector<std::string> commands = {
      "littlebit-train --help",
      "littlebit-eval --help",
      "littlebit-train --print-reference markdown",
      "littlebit-train --print-config",
      "littlebit-eval generate --model " + kStories + " --prompt Once --max-new-tokens 300",
  };
  for (const std::string& command : commands) {
    INFO(command);
    // `true` reads nothing; the program's exit code and messages are what counts.
    shop.shell("{ sleep 0.1; " + bin + command +
               " 2>said; echo $? >code; } | true; sleep 0.1; "
               "while [ ! -s code ]; do sleep 0.05; done");
    CHECK(trim(shop.read("code")) == "0");
    CHECK_THAT(shop.read("said"), !Contains("error"));
    shop.shell("rm code");
  }
  shop.shell(bin + "littlebit-train --help >/dev/full 2>said; echo $? >code");
  CHECK(trim(shop.read("code")) == "5");
}

TEST_CASE("an estimate of an absurd model does not wrap") {
  const Workshop shop;
  shop.replace("model/config.json", "\"hidden_size\": 32", "\"hidden_size\": 16777216");
  shop.replace("model/config.json", "\"num_hidden_layers\": 1", "\"num_hidden_layers\": 4096");
  check_refused(shop.train({"--estimate-memory"}), 3, {"more than any machine holds"});
  const Workshop wide;
  check_outcome(wide.train({"--estimate-memory", "data.sequence_length=1048576",
                            "train.micro_batch_size=1048576", "train.recompute=none"}),
                0, {"PiB"});
}
