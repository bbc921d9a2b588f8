// littlebit-train --nproc: N processes of the program itself, their lines, their exit code.
#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>
#include <nlohmann/json.hpp>

#include "littlebit/core/place.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"
#include "littlebit/core/write_file.h"
#include "littlebit/io/json.h"
#include "support/tiny_model.h"
#include "tiny_scene.h"

using namespace littlebit;
using Catch::Matchers::Contains;
using test::run_program;

TEST_CASE("--nproc starts the program with its other arguments") {
  const std::string alone = run_program("littlebit-train", {"train.steps=7", "--print-config"}).out;
  REQUIRE(!alone.empty());
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"--nproc", "2", "train.steps=7", "--print-config"},
        {"train.steps=7", "--nproc=2", "--print-config"}}) {
    const test::Outcome both = run_program("littlebit-train", words);
    INFO(both.err);
    CHECK(both.code == 0);
    for (const char* mark : {"[0] ", "[1] "}) {
      std::string own;
      for (const std::string& line : split(both.out, '\n')) {
        if (line.starts_with(mark)) own += line.substr(4) + "\n";
      }
      CHECK(own == alone);
    }
  }
}

TEST_CASE("--nproc's mistakes, and those of the processes, end with their exit codes") {
  const test::Outcome none = run_program("littlebit-train", {"--nproc", "0", "--print-config"});
  CHECK(none.code == 2);
  CHECK(none.out.empty());
  CHECK_THAT(none.err, Contains("--nproc was given \"0\"") && Contains("from 1 to 1024"));
  const test::Outcome wrong = run_program("littlebit-train", {"--nproc", "2", "train.stepz=7"});
  CHECK(wrong.code == 2);
  CHECK_THAT(wrong.err, Contains("[0] error: ") || Contains("[1] error: "));
  const test::Outcome inside = run_program("littlebit-train", {"--nproc", "2", "--print-config"},
                                           "RANK=1 WORLD_SIZE=4 MASTER_ADDR=127.0.0.1");
  CHECK(inside.code == 2);
  CHECK_THAT(inside.err, Contains("this is process 1 of 4 (RANK and WORLD_SIZE)"));
  CHECK_THAT(run_program("littlebit-train", {"--help"}).out, Contains("--nproc N"));
}

namespace {

std::vector<double> losses(const std::filesystem::path& run) {
  std::ifstream stream(run / "metrics.jsonl");
  std::vector<double> values;
  for (std::string line; std::getline(stream, line);) {
    values.push_back(parse_json(line, "metrics").at("loss").get<double>());
  }
  return values;
}

void check_close(const std::vector<double>& got, const std::vector<double>& want, size_t from,
                 size_t to) {
  REQUIRE(got.size() == want.size());
  for (size_t i = from; i < to; ++i) {
    INFO("step " << i + 1);
    CHECK(got[i] == Approx(want[i]).epsilon(1e-5));
  }
}

}  // namespace

TEST_CASE("several processes train what one trains, and go on with each other's checkpoints") {
  const test::TinyScene scene;
  // A rate at which no sign flips by the order of a sum.
  const std::vector<std::string> slow = {"optim.learning_rate=1e-5", "checkpoint.every=10",
                                         "train.threads=1", "export.formats=[packed]"};
  const auto train = [&](const std::string& output, int processes,
                         const std::vector<std::string>& extra = {}) {
    std::vector<std::string> words = scene.words(output, slow);
    words.insert(words.end(), extra.begin(), extra.end());
    if (processes > 1) words.insert(words.begin(), {"--nproc", std::to_string(processes)});
    const test::Outcome outcome = test::run_program("littlebit-train", words);
    INFO(outcome.err);
    REQUIRE(outcome.code == 0);
    return outcome;
  };
  train("one", 1);
  const test::Outcome said = train("two", 2);
  train("four", 4);
  train("two-again", 2);
  const std::vector<double> one = losses(scene / "one");
  check_close(losses(scene / "two"), one, 0, 20);
  check_close(losses(scene / "four"), one, 0, 20);
  CHECK(losses(scene / "two-again") == losses(scene / "two"));
  const auto exported = [&](const std::string& name) {
    return read_file(scene / name / "export" / "packed" / "model.safetensors");
  };
  CHECK(exported("two-again") == exported("two"));
  // The first alone speaks and writes.
  CHECK_THAT(said.err, Contains("[0] done in") && !Contains("[1] done in"));
  const std::filesystem::path state = scene / "four" / "checkpoints" / "step-20";
  CHECK(path_exists(state / "state-00004-of-00004.safetensors"));
  CHECK_FALSE(path_exists(state / "state.safetensors"));

  // The teacher in parts, gradients that leave after each of two micro-batches.
  const std::vector<std::string> sharded = {"train.teacher=sharded", "train.micro_batch_size=1",
                                            "train.gradient_reduce=microbatch"};
  train("two-sharded", 2, sharded);
  check_close(losses(scene / "two-sharded"), one, 0, 20);
  train("two-sharded-again", 2, sharded);
  CHECK(exported("two-sharded-again") == exported("two-sharded"));
  train("two-bf16", 2, {"train.reduce_dtype=bf16"});
  CHECK(losses(scene / "two-bf16") != losses(scene / "two"));
  CHECK(losses(scene / "two-bf16").at(0) == losses(scene / "two").at(0));

  const auto hand_over = [&](int first, int second, const std::string& name) {
    train(name, first, {"train.stop_after=10"});
    train(name, second, {"--resume", "auto"});
    return losses(scene / name);
  };
  check_close(hand_over(1, 2, "1-2"), one, 0, 20);
  check_close(hand_over(4, 1, "4-1"), one, 0, 20);
  CHECK(hand_over(2, 2, "2-2") == losses(scene / "two"));
  CHECK(exported("2-2") == exported("two"));
}

TEST_CASE("runs of several processes: refused, stopped, one lost") {
  const test::TinyScene scene;
  const auto words = [&](const std::string& output, std::vector<std::string> extra) {
    extra.insert(extra.begin(), {"--nproc", "2", "train.threads=1"});
    return scene.words(output, extra);
  };
  const test::Outcome odd =
      test::run_program("littlebit-train", words("odd", {"train.global_batch_size=5"}));
  CHECK(odd.code == 2);
  CHECK_THAT(odd.err, Contains("cannot be divided among 2 processes") &&
                          Contains("train.global_batch_size=4 or 6"));
  CHECK_FALSE(path_exists(scene / "odd"));

  // In the background of a shell, which sends the signal when there are steps.
  const auto with_signal = [&](const std::string& name, const std::string& kill) {
    const std::string metrics = test::shell_quoted((scene / name / "metrics.jsonl").string());
    std::string line;
    for (const std::string& word : words(name, {"train.steps=100000"})) {
      line += " " + test::shell_quoted(word);
    }
    return test::run_line(std::string(test::kBinaryDir) + "/bin/littlebit-train" + line +
                          " & P=$!; until [ -s " + metrics + " ]; do sleep 0.1; done; " + kill +
                          "; wait $P; exit $?");
  };
  const test::Outcome stopped = with_signal("stop", "kill -TERM $P");
  INFO(stopped.err);
  CHECK(stopped.code == 143);
  CHECK(path_exists(scene / "stop" / "checkpoints"));
  const test::Outcome lost =
      with_signal("lost", "kill -KILL $(awk '{print $NF}' /proc/$P/task/$P/children)");
  INFO(lost.err);
  CHECK(lost.code == 75);
}

namespace {

void check_done(const test::Outcome& outcome) {
  INFO(outcome.err);
  REQUIRE(outcome.code == 0);
}

int times_in(const std::string& text, const std::string& words) {
  int times = 0;
  for (size_t at = 0; (at = text.find(words, at)) != std::string::npos; at += words.size()) ++times;
  return times;
}

// The only file of start factors in a folder.
std::string factors_in(const std::filesystem::path& folder) {
  std::string bytes;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    CHECK(entry.path().extension() == ".safetensors");
    CHECK(bytes.empty());
    bytes = read_file(entry.path());
  }
  CHECK(!bytes.empty());
  return bytes;
}

}  // namespace

TEST_CASE("processes divide the start factors; a stop is gone on with by another number of them") {
  const test::TinyScene scene;
  // Layers that take long enough to be stopped between.
  test::write_tiny_llama(scene / "teacher", {.hidden = 192, .intermediate = 384, .layers = 6});
  const auto words = [&](const std::string& cache, int processes) {
    std::vector<std::string> all = scene.words(
        "unused",
        {"--factorize-only", "train.threads=1", "quant.cache_dir=" + (scene / cache).string()});
    if (processes > 1) all.insert(all.begin(), {"--nproc", std::to_string(processes)});
    return all;
  };
  const auto factorize = [&](const std::string& cache, int processes) {
    const test::Outcome outcome = test::run_program("littlebit-train", words(cache, processes));
    check_done(outcome);
    return outcome;
  };
  factorize("one", 1);
  const std::string whole = factors_in(scene / "one");
  const test::Outcome said = factorize("two", 2);
  CHECK(times_in(said.err, "initial factors cached in") == 1);
  CHECK((factors_in(scene / "two") == whole));
  CHECK_THAT(factorize("two", 3).err,
             Contains("[0] initial factors from") && !Contains("[1] initial factors from"));

  std::string line;
  for (const std::string& word : words("stopped", 2)) line += " " + test::shell_quoted(word);
  const test::Outcome stopped = test::run_line(
      std::string(test::kBinaryDir) + "/bin/littlebit-train" + line + " & P=$!; until ls " +
      test::shell_quoted((scene / "stopped").string()) +
      "/*.layers/*.safetensors >/dev/null 2>&1; do sleep 0.01; done; kill -TERM $P; wait $P; "
      "exit $?");
  INFO(stopped.err);
  CHECK(stopped.code == 143);
  CHECK(times_in(stopped.err, "stopped while factorising: ") == 1);
  CHECK_THAT(stopped.err, Contains(" of 42 layers are done; ") && Contains("are cached in"));
  std::filesystem::copy(scene / "stopped", scene / "stopped-3",
                        std::filesystem::copy_options::recursive);
  for (const auto& [cache, processes] : {std::pair{"stopped", 1}, std::pair{"stopped-3", 3}}) {
    CHECK_THAT(factorize(cache, processes).err,
               Contains(" of 42 layers were made by an earlier start"));
    CHECK((factors_in(scene / cache) == whole));
  }
}

TEST_CASE("processes divide the scoring: the numbers of one, dense and packed") {
  const TempFolder temp;
  const std::filesystem::path source = test::kSourceDir;
  const std::string teacher = (source / "data" / "wiki-llama-5m").string();
  const auto score = [&](const std::string& model, const std::string& name, int processes) {
    std::vector<std::string> words = {"--model",      model,
                                      "--tasks",      "wikitext2,rolling",
                                      "--data-root",  (source / "data").string(),
                                      "--text",       (source / "data" / "README.md").string(),
                                      "--seqlen",     "64",
                                      "--limit",      "7",
                                      "--batch-size", "2",
                                      "--threads",    "1",
                                      "--output",     (temp / name).string()};
    if (processes > 1) words.insert(words.begin(), {"--nproc", std::to_string(processes)});
    const test::Outcome outcome = test::run_program("littlebit-eval", words);
    check_done(outcome);
    CHECK(times_in(outcome.out, "| wikitext2") == 1);  // one table
    Json results = read_json_file(temp / name);
    for (auto& [task, entry] : results.at("tasks").items()) entry.erase("seconds");
    return results;
  };
  const Json one = score(teacher, "one", 1);
  CHECK(one.at("tasks").size() == 2);
  CHECK(score(teacher, "two", 2) == one);
  CHECK(score(teacher, "three", 3) == one);
}

TEST_CASE("scores of a run of several processes are those of one; its log names the slowest") {
  const test::TinyScene scene;
  test::write_tiny_llama(scene / "teacher", {.vocabulary = 512, .layers = 1});
  const std::filesystem::path tokenizer =
      std::filesystem::path(test::kSourceDir) / "tests" / "golden" / "stories260k";
  for (const char* name : {"tokenizer.model", "tokenizer_config.json"}) {
    std::filesystem::copy_file(tokenizer / name, scene / "teacher" / name);
  }
  write_file(scene / "mine.txt", "The quick brown fox jumps over the lazy dog. The lazy dog.");
  const auto train = [&](const std::string& output, int processes) {
    std::vector<std::string> words =
        scene.words(output, {"eval.text=" + (scene / "mine.txt").string(), "eval.sequence_length=8",
                             "eval.batch_size=1", "train.threads=1", "train.steps=4",
                             "optim.learning_rate=1e-6"});
    if (processes > 1) words.insert(words.begin(), {"--nproc", std::to_string(processes)});
    check_done(test::run_program("littlebit-train", words));
    std::vector<double> scores;
    const Json run = read_json_file(scene / output / "run.json");
    for (const Json& entry : run.at("scores")) {
      scores.push_back(entry.at("perplexity").get<double>());
    }
    return scores;
  };
  const std::vector<double> one = train("one", 1), two = train("two", 2);
  REQUIRE(one.size() == 3);
  REQUIRE(two.size() == 3);
  CHECK(two[0] == one[0]);  // the teacher
  CHECK(two[1] == one[1]);  // the same start factors
  CHECK(two[2] == Approx(one[2]).epsilon(1e-5));
  const std::string log = read_file(scene / "two" / "log.txt");
  CHECK(times_in(log, " is the slowest: ") == 1);
  CHECK(times_in(log, "; the others wait ") == 1);
  CHECK_THAT(read_file(scene / "one" / "log.txt"), !Contains("is the slowest"));

  // The model as it was packed, scored from its signs.
  const auto packed = [&](const std::string& output, int processes) {
    std::vector<std::string> words = {
        "--model",      (scene / "two" / "export" / "packed").string(),
        "--text",       (scene / "mine.txt").string(),
        "--seqlen",     "8",
        "--batch-size", "1",
        "--threads",    "1",
        "--output",     (scene / output).string()};
    if (processes > 1) words.insert(words.begin(), {"--nproc", std::to_string(processes)});
    check_done(test::run_program("littlebit-eval", words));
    return read_json_file(scene / output).at("tasks").at("text").at("nll").get<double>();
  };
  const double alone = packed("1.json", 1);
  CHECK(packed("2.json", 2) == alone);
  CHECK(packed("3.json", 3) == alone);
}

TEST_CASE("a process that is told to stop ends the scoring of all, with 143") {
  const TempFolder temp;
  const std::filesystem::path source = test::kSourceDir;
  const auto start = [&](int rank) {
    std::string line = "RANK=" + std::to_string(rank) +
                       " WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=$PORT " +
                       std::string(test::kBinaryDir) + "/bin/littlebit-eval";
    for (const std::string& word :
         {std::string("--model"), (source / "data" / "wiki-llama-5m").string(),
          std::string("--tasks"), std::string("wikitext2"), std::string("--data-root"),
          (source / "data").string(), std::string("--threads"), std::string("1"),
          std::string("--output"), (temp / "results.json").string()}) {
      line += " " + test::shell_quoted(word);
    }
    const std::string err = test::shell_quoted((temp / std::to_string(rank)).string());
    return line + " 2>" + err + " & P" + std::to_string(rank) + "=$!; ";
  };
  const test::Outcome both = test::run_line(
      "PORT=$((20000 + $$ % 20000)); " + start(0) + start(1) + "until grep -q 'dense llama' " +
      test::shell_quoted((temp / "0").string()) +
      "; do sleep 0.1; done; kill -TERM $P1; wait $P0; echo first $?; wait $P1; echo second $?");
  CHECK(both.out == "first 143\nsecond 143\n");
  CHECK_THAT(read_file(temp / "0"), Contains("process 1: stopped before the text was scored"));
  CHECK_FALSE(path_exists(temp / "results.json"));
}

TEST_CASE("a mistake that all processes find is told once") {
  const test::TinyScene scene;
  std::vector<std::string> words = scene.words("odd", {"train.global_batch_size=5"});
  words.insert(words.begin(), {"--nproc", "3"});
  const test::Outcome odd = test::run_program("littlebit-train", words);
  CHECK(odd.code == 2);
  INFO(odd.err);
  CHECK(times_in(odd.err, "cannot be divided among 3 processes") == 1);
  // A warning too: data.sequence_length is beyond the teacher's positions.
  const test::Outcome warned = test::run_program(
      "littlebit-train", scene.words("long", {"--nproc", "2", "train.threads=1", "train.steps=1",
                                              "data.sequence_length=144"}));
  INFO(warned.err);
  CHECK(times_in(warned.err, "is beyond the teacher's max_position_embeddings") == 1);
}

TEST_CASE("a model whose numbers overflow fails all processes, with one message") {
  const TempFolder temp;
  test::write_tiny_llama(temp.path(), {.vocabulary = 512, .scale = 1e3});
  const std::filesystem::path tokenizer =
      std::filesystem::path(test::kSourceDir) / "tests" / "golden" / "stories260k";
  for (const char* name : {"tokenizer.model", "tokenizer_config.json"}) {
    std::filesystem::copy_file(tokenizer / name, temp / name);
  }
  write_file(temp / "mine.txt", "The quick brown fox jumps over the lazy dog. The lazy dog.");
  const test::Outcome outcome = test::run_program(
      "littlebit-eval", {"--nproc", "2", "--model", temp.path().string(), "--text",
                         (temp / "mine.txt").string(), "--seqlen", "8", "--batch-size", "1"});
  INFO(outcome.err << outcome.out);
  CHECK(outcome.code == 4);
  CHECK(times_in(outcome.err, "error: ") == 1);
  CHECK(times_in(outcome.err, "the model's numbers overflow") == 1);
}

TEST_CASE("at a recipe's rate the last loss is within 1 % for any number of processes") {
  const test::TinyScene scene;
  const auto losses_of = [&](int processes) {
    const std::string name = std::to_string(processes);
    std::vector<std::string> words =
        scene.words(name, {"train.steps=60", "train.global_batch_size=12", "train.threads=1"});
    if (processes > 1) words.insert(words.begin(), {"--nproc", name});
    check_done(test::run_program("littlebit-train", words));
    return losses(scene / name);
  };
  const std::vector<double> one = losses_of(1);
  CHECK(one.back() < 0.7 * one.front());
  for (const int processes : {2, 3, 4}) {
    INFO(processes << " processes");
    CHECK(losses_of(processes).back() == Approx(one.back()).epsilon(0.01));
  }
}
