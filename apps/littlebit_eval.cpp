// littlebit-eval: the command line in front of include/littlebit/eval/commands.h.
#include <CLI/CLI.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/process.h"
#include "littlebit/core/strings.h"
#include "littlebit/eval/commands.h"
#include "littlebit/logging/run_main.h"

namespace littlebit {
namespace {

constexpr char kDescription[] =
    "Scores a dense or packed model by perplexity. Options may stand in a YAML file (--config) and "
    "be given as key=value words; later words win.";

// Options of the main command that are another spelling of a key.
struct Shorthand {
  const char* option;
  const char* key;
  const char* value;
  bool is_text;  // to be quoted, so that no character in it is read as YAML
  const char* help;
};
constexpr Shorthand kShorthands[] = {
    {"--model", "model.path", "DIR", true, "Folder of the model, dense or packed"},
    {"--text", "eval.text", "FILE", true, "A text file to score"},
    {"--seqlen", "eval.sequence_length", "N", false, "Tokens per chunk"},
    {"--limit", "eval.limit", "N", false, "Score only the first N chunks"},
    {"--batch-size", "eval.batch_size", "N", false, "Chunks per forward pass"},
    {"--dtype", "eval.dtype", "fp32|bf16", false, "Type of the matrix products"},
    {"--device", "eval.device", "auto|cpu|cuda", false, "Where to compute"},
    {"--data-root", "eval.data_root", "DIR", true, "Where the tasks' data lies"},
    {"--output", "eval.output", "FILE", true, "Write results.json here"},
    {"--samples", "eval.samples", "FILE", true, "Write the scores of each document here (jsonl)"},
    {"--threads", "eval.threads", "N", false, "Threads to compute with"},
};

struct ScoreArguments {
  std::string config;
  std::vector<std::string> words;       // of shorthands
  std::vector<std::string> key_values;  // as they are
};

void declare_score(CLI::App& app, ScoreArguments& arguments) {
  app.add_option("--config", arguments.config, "YAML file with options")->type_name("FILE");
  for (const Shorthand& shorthand : kShorthands) {
    app.add_option_function<std::string>(
           shorthand.option,
           [&arguments, shorthand](const std::string& value) {
             arguments.words.push_back(shorthand.is_text ? quoted_word(shorthand.key, value)
                                                         : shorthand.key + ("=" + value));
           },
           shorthand.help)
        ->type_name(shorthand.value);
  }
  app.add_option_function<std::string>(
         "--tasks",
         [&arguments](const std::string& tasks) {
           arguments.words.push_back(quoted_word("eval.tasks", split(tasks, ',')));
         },
         "Tasks to score, separated by commas")
      ->type_name("A,B,...");
  app.add_option("key=value", arguments.key_values, "Options by key, as listed below");
}

void declare_forward(CLI::App& command, ForwardOptions& options) {
  command.add_option("--model", options.model, "Folder of the model")->required();
  command.add_option("--input", options.input, "safetensors file with input_ids [B, T]")
      ->required();
  command.add_option("--output", options.output, "safetensors file to write")->required();
  command.add_flag("--hidden-states", options.hidden_states,
                   "Write every layer's hidden states too");
  command.add_option("--dtype", options.dtype, "Type of the matrix products")
      ->transform(CLI::CheckedTransformer(std::map<std::string, EvalDtype>{
          {"fp32", EvalDtype::kFp32}, {"bf16", EvalDtype::kBf16}}));
  command.add_option("--device", options.device, "Where to compute")
      ->transform(CLI::CheckedTransformer(std::map<std::string, DeviceKind>{
          {"auto", DeviceKind::kAuto}, {"cpu", DeviceKind::kCpu}, {"cuda", DeviceKind::kCuda}}));
  command.add_option("--threads", options.threads, "Threads to compute with")
      ->check(CLI::Range(0, 4096));
}

void declare_tokenize(CLI::App& command, TokenizeOptions& options) {
  command.add_option("--model", options.model, "Folder with the tokenizer's files")->required();
  command.add_option("--input", options.input, "JSON file: a list of strings")->required();
  command.add_option("--output", options.output, "JSON file to write")->required();
}

int run(int argc, char** argv) {
  CLI::App app(kDescription, "littlebit-eval");
  ScoreArguments score;
  ForwardOptions forward;
  TokenizeOptions tokenize;
  declare_score(app, score);
  app.footer(score_keys_help);
  CLI::App* forward_command = app.add_subcommand(
      "forward", "One forward pass over given ids: logits and hidden states as safetensors");
  declare_forward(*forward_command, forward);
  CLI::App* tokenize_command = app.add_subcommand("tokenize", "Token ids of given strings as JSON");
  declare_tokenize(*tokenize_command, tokenize);
  std::vector<std::filesystem::path> files;
  CLI::App* compare_command =
      app.add_subcommand("compare", "Results of several runs side by side, as a Markdown table");
  compare_command->add_option("files", files, "results.json files, the first to compare with")
      ->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    throw UsageError(error.what(), "littlebit-eval --help lists the options");
  }
  if (forward_command->parsed()) return run_forward(forward);
  if (compare_command->parsed()) return run_compare(files);
  if (tokenize_command->parsed()) return run_tokenize(tokenize);
  score.words.insert(score.words.end(), score.key_values.begin(), score.key_values.end());
  return run_score(score.config, score.words);
}

}  // namespace
}  // namespace littlebit

LITTLEBIT_SETTLE_WAITING;

int main(int argc, char** argv) {
  return littlebit::run_main([&] { return littlebit::run(argc, argv); });
}
