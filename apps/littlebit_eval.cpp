// littlebit-eval: the command line in front of the commands of include/littlebit/commands.
#include <iostream>

#include "command_line.h"
#include "key_arguments.h"
#include "littlebit/commands/compare.h"
#include "littlebit/commands/forward.h"
#include "littlebit/commands/generate.h"
#include "littlebit/commands/score.h"
#include "littlebit/commands/tokenize.h"
#include "littlebit/distributed/nproc.h"
#include "programs.h"

namespace littlebit {
namespace {

constexpr char kDescription[] =
    "Scores a dense or packed model, or runs it. Options come from a YAML file (--config) and from "
    "key=value overrides; the last value given wins.";

constexpr char kUsage[] =
    R"(littlebit-eval --model DIR --tasks A,B,... [--text FILE] [key=value ...] [options]

Scores a dense or a packed model. For example:
    littlebit-eval --model runs/smol/export/packed --tasks wikitext2 --output scores.json

  generate --model DIR --prompt TEXT   continue a text
  compare A.json B.json                set results side by side
  --help                               every option
)";

constexpr Shorthand kCommonShorthands[] = {
    {"--model", "model.path", "DIR", Value::kText, "Folder of the model, dense or packed"},
    {"--dtype", "eval.dtype", "fp32|bf16", Value::kYaml, "Type of the matrix products"},
    {"--device", "eval.device", "auto|cpu|cuda", Value::kYaml, "Where to compute"},
    {"--threads", "eval.threads", "N", Value::kYaml, "Threads to compute with"},
};
constexpr Shorthand kScoreShorthands[] = {
    {"--tasks", "eval.tasks", "A,B,...", Value::kList, "Tasks to score, separated by commas"},
    {"--text", "eval.text", "FILE", Value::kText, "A text file to score"},
    {"--seqlen", "eval.sequence_length", "N", Value::kYaml, "Tokens per chunk"},
    {"--limit", "eval.limit", "N", Value::kYaml,
     "Score only the first N chunks or documents; a number below 1: that fraction of them"},
    {"--batch-size", "eval.batch_size", "N|auto", Value::kYaml, "Sequences per forward pass"},
    {"--num-fewshot", "eval.num_fewshot", "N", Value::kYaml,
     "Solved examples in front of each document"},
    {"--data-root", "eval.data_root", "DIR", Value::kText, "Where the tasks' data lies"},
    {"--output", "eval.output", "FILE", Value::kText, "Write results.json here"},
    {"--samples", "eval.samples", "FILE", Value::kText,
     "Write the scores of each document or chunk here (jsonl)"},
    {"--teacher", "eval.teacher", "DIR", Value::kText,
     "A model to take the KL divergence from, beside a perplexity"},
};
constexpr Shorthand kGenerateShorthands[] = {
    {"--prompt", "generate.prompt", "TEXT", Value::kText, "The text to continue"},
    {"--prompt-file", "generate.prompt_file", "FILE", Value::kText,
     "File with the text to continue; -: standard input"},
    {"--max-new-tokens", "generate.max_new_tokens", "N", Value::kYaml,
     "Tokens to generate at most"},
    {"--temperature", "generate.temperature", "X", Value::kYaml,
     "0: always the most probable token"},
    {"--top-k", "generate.top_k", "K", Value::kYaml, "Draw from the K most probable tokens"},
    {"--top-p", "generate.top_p", "P", Value::kYaml, "Draw from the tokens that make up P"},
    {"--seed", "generate.seed", "N", Value::kYaml, "Seed of the random draws"},
    {"--stop", "generate.stop", "TEXT", Value::kText, "Text before which generation ends"},
    {"--kv-cache", "generate.kv_cache", "full|latent|none", Value::kYaml,
     "What is cached of earlier tokens"},
};

void declare_forward(CLI::App& command, ForwardOptions& options) {
  a_path(command.add_option("--model", options.model, "Folder of the model"))
      ->type_name("DIR")
      ->required();
  a_path(command.add_option("--input", options.input, "safetensors file with input_ids [B, T]"))
      ->type_name("FILE")
      ->required();
  a_path(command.add_option("--output", options.output, "safetensors file to write"))
      ->type_name("FILE")
      ->required();
  command.add_flag("--hidden-states", options.hidden_states,
                   "Write every layer's hidden states too");
  command.add_option("--dtype", options.dtype, "Type of the matrix products")
      ->transform(CLI::CheckedTransformer(std::map<std::string, FloatKind>{
          {"fp32", FloatKind::kFp32}, {"bf16", FloatKind::kBf16}}));
  command.add_option("--device", options.device, "Where to compute")
      ->transform(CLI::CheckedTransformer(std::map<std::string, DeviceKind>{
          {"auto", DeviceKind::kAuto}, {"cpu", DeviceKind::kCpu}, {"cuda", DeviceKind::kCuda}}));
  command.add_option("--threads", options.threads, "Threads to compute with")
      ->check(CLI::Range(0, 4096));
}

void declare_tokenize(CLI::App& command, TokenizeOptions& options) {
  a_path(command.add_option("--model", options.model, "Folder with the tokenizer's files"))
      ->type_name("DIR")
      ->required();
  a_path(command.add_option("--input", options.input, "JSON file: a list of strings"))
      ->type_name("FILE")
      ->required();
  a_path(command.add_option("--output", options.output, "JSON file to write"))
      ->type_name("FILE")
      ->required();
}

}  // namespace

int littlebit_eval(int argc, char** argv) {
  if (const auto ended = launch_if_asked(argc, argv)) return *ended;
  if (argc == 1) {
    std::cerr << kUsage;
    return static_cast<int>(ExitCode::kUsage);
  }
  CLI::App app(kDescription, "littlebit-eval");
  app.set_version_flag("--version", "littlebit-eval " LITTLEBIT_VERSION);
  KeyArguments score, generate;
  ForwardOptions forward;
  TokenizeOptions tokenize;
  declare_keys(app, kCommonShorthands, kScoreShorthands, score);
  app.footer(score_keys_help);
  app.add_option("--nproc",
                 "start N processes on this host to share the scoring; torchrun, srun or mpirun "
                 "can start them instead")
      ->type_name("N");  // read by launch_if_asked()
  CLI::App* forward_command = app.add_subcommand(
      "forward", "One forward pass over given ids: logits and hidden states as safetensors");
  declare_forward(*forward_command, forward);
  CLI::App* tokenize_command = app.add_subcommand("tokenize", "Token ids of given strings as JSON");
  declare_tokenize(*tokenize_command, tokenize);
  std::vector<std::filesystem::path> files;
  CLI::App* compare_command =
      app.add_subcommand("compare", "Results of several runs side by side, as a Markdown table");
  a_path(
      compare_command->add_option("files", files, "results.json files, the first to compare with"))
      ->required();
  CLI::App* generate_command =
      app.add_subcommand("generate", "Continues a text")->footer(generate_keys_help);
  declare_keys(*generate_command, kCommonShorthands, kGenerateShorthands, generate);
  if (const auto done = parse_command_line(app, argc, argv)) return *done;
  if (forward_command->parsed()) return run_forward(forward);
  if (compare_command->parsed()) return run_compare(files);
  if (tokenize_command->parsed()) return run_tokenize(tokenize);
  if (generate_command->parsed()) return run_keys(run_generate, generate);
  return run_keys(run_score, score);
}

}  // namespace littlebit
