// The command `generate` as a user runs it.
#include <catch2/catch.hpp>
#include <filesystem>

#include "littlebit/core/read_file.h"
#include "littlebit/core/write_file.h"
#include "program.h"

namespace littlebit::test {
namespace {

namespace fs = std::filesystem;

fs::path golden() { return fs::path(kSourceDir) / "tests/golden"; }

Outcome generate(std::vector<std::string> arguments, const std::string& prefix = "") {
  arguments.insert(arguments.begin(), {"generate", "--model", (golden() / "stories260k").string()});
  return run_program("littlebit-eval", arguments, prefix);
}

TEST_CASE("a story from nothing, from a text, from a file") {
  const Outcome story = generate({"--max-new-tokens", "30"});
  INFO(story.err);
  REQUIRE(story.code == 0);
  CHECK(story.out.starts_with("Once upon a time, there was a little girl named Lily."));
  CHECK(story.out.ends_with("\n"));
  CHECK_THAT(story.err,
             Catch::Contains("tokens/s") && Catch::Contains("the requested number was reached"));
  CHECK_THAT(story.err, Catch::Contains("bytes per token: full 1,280"));

  // The same text, its beginning given.
  const std::string prompt = "Once upon a time, there was";
  const Outcome rest = generate({"--prompt", prompt, "--max-new-tokens", "20"});
  REQUIRE(rest.code == 0);
  CHECK(rest.out.starts_with(" a little girl named Lily."));

  const TempFolder temp;
  write_file(temp / "prompt.txt", prompt);
  const Outcome from_file =
      generate({"--prompt-file", (temp / "prompt.txt").string(), "generate.max_new_tokens=20"});
  CHECK(from_file.out == rest.out);
  // run_program gives no standard input.
  const std::string line =
      "printf '" + prompt + "' | " + kBinaryDir + "/bin/littlebit-eval generate --model " +
      shell_quoted((golden() / "stories260k").string()) +
      " --prompt-file - --max-new-tokens 20 2>/dev/null >" + shell_quoted((temp / "out").string());
  CHECK(std::system(line.c_str()) == 0);
  CHECK(read_file(temp / "out") == rest.out);

  const Outcome stopped = generate({"--max-new-tokens", "60", "--stop", " Lily"});
  CHECK(stopped.out == "Once upon a time, there was a little girl named\n");
  CHECK_THAT(stopped.err, Catch::Contains("a stop text was reached"));
}

TEST_CASE("drawn texts repeat with their seed") {
  const auto draw = [&](const std::string& seed) {
    return generate({"--max-new-tokens", "24", "--temperature", "1", "--seed", seed}).out;
  };
  const std::string text = draw("1");
  CHECK(text == draw("1"));
  CHECK(text != draw("2"));
}

TEST_CASE("what generate cannot do is said") {
  const auto refused = [&](std::vector<std::string> arguments, int code, const std::string& words) {
    const Outcome outcome = generate(std::move(arguments));
    CHECK(outcome.code == code);
    CHECK_THAT(outcome.err, Catch::Contains(words));
    CHECK(outcome.out.empty());
  };
  refused({"--kv-cache", "latent"}, 2, "latent cache");
  refused({"--kv-cache", "half"}, 2, "generate.kv_cache");
  refused({"--top-k", "5"}, 2, "temperature");
  refused({"--temperature", "-1"}, 2, "generate.temperature");
  refused({"--max-new-tokens", "0"}, 2, "generate.max_new_tokens");
  refused({"generate.stop=[\"\"]"}, 2, "generate.stop");
  refused({"--prompt", "a", "--prompt-file", "b"}, 2, "prompt file");
  refused({"--prompt-file", "/nowhere/text"}, 3, "/nowhere/text");
  refused({"generate.promt=a"}, 2, "prompt");
  const Outcome none = run_program("littlebit-eval", {"generate", "--prompt", "a"});
  CHECK(none.code == 2);
  CHECK_THAT(none.err, Catch::Contains("--model DIR"));

  // A tokenizer without BOS has nothing to begin with.
  const TempFolder temp;
  fs::copy(golden() / "stories260k", temp.path(), fs::copy_options::recursive);
  const std::string config = read_file(temp / "tokenizer_config.json");
  const std::string flag = "\"add_bos_token\": true";
  REQUIRE(config.find(flag) != std::string::npos);
  write_file(
      temp / "tokenizer_config.json",
      std::string(config).replace(config.find(flag), flag.size(), "\"add_bos_token\": false"));
  const Outcome empty =
      run_program("littlebit-eval", {"generate", "--model", temp.path().string()});
  CHECK(empty.code == 2);
  CHECK_THAT(empty.err, Catch::Contains("the prompt is empty"));
}

}  // namespace
}  // namespace littlebit::test
