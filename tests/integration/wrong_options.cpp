// Rows of the table: options and configuration files.
#include "integration/wrong_input.h"

namespace littlebit::test {
namespace {

WrongInput words(std::string what, std::vector<std::string> given,
                 ExitCode code = ExitCode::kUsage) {
  return {std::move(what), code,
          [given = std::move(given)](const Workshop& shop) { return shop.train_ids(given); }};
}

WrongInput yaml(std::string what, std::string content, ExitCode code = ExitCode::kUsage) {
  return {std::move(what), code, [=](const Workshop& shop) {
            shop.write("run.yaml", content);
            return shop.train_ids({"--config", "run.yaml"});
          }};
}

WrongInput eval(std::string what, std::vector<std::string> given,
                ExitCode code = ExitCode::kUsage) {
  return {std::move(what), code,
          [given = std::move(given)](const Workshop& shop) { return shop.eval(given); }};
}

// Ten anchors, each ten of the one before: 10^10 values.
std::string alias_bomb() {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 10; ++i) {
    const std::string one = "*a" + std::to_string(i - 1);
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j) text += (j > 0 ? ", " : "") + one;
    text += "]\n";
  }
  return text;
}

}  // namespace

WrongInputs wrong_options() {
  return {
      "Options",
      {
          words("an unknown key", {"optim.learning_rat=1e-3"}),
          words("a key in the wrong section", {"train.learning_rate=1e-3"}),
          words("several mistakes at once", {"quant.surrogate=tanh", "train.steps=many",
                                             "data.train.0.wieght=2", "log.every=0"}),
          words("a word without a value", {"train.steps"}),
          words("a value that is no YAML", {"eval.tasks=[wikitext2"}),
          words("a value of the wrong type", {"data.shuffle=perhaps"}),
          words("a number out of range", {"optim.beta1=1.5"}),
          words("a number beyond 64 bits", {"train.steps=99999999999999999999"}),
          words("a number in quotes", {"optim.learning_rate=\"1e-4\""}),
          yaml("a list without brackets", "eval:\n  tasks: boolq, piqa\n"),
          words("two configuration files", {"a.yaml", "b.yaml"}),
          words("a name on the Hugging Face Hub", {"model.path=meta-llama/Llama-2-7b"},
                ExitCode::kInput),
          words("not a number", {"optim.learning_rate=nan"}),
          words("steps and epochs", {"train.epochs=2"}),
          words(
              "block inputs where there are none",
              {"train.recompute=none", "train.block_inputs=bf16", "train.block_inputs_device=cpu"}),
          words("more tokens than can be counted",
                {"train.steps=1000000000000", "train.global_batch_size=16777216",
                 "data.sequence_length=1048576"}),
          words("neither steps nor epochs", {"train.steps=0"}),
          words("fewer epochs than make a step", {"train.steps=0", "train.epochs=0.01"}),
          words("an init_file without quant.init=file", {"quant.init_file=x.safetensors"}),
          words("quant.init=file without a file", {"quant.init=file"}),
          words("an init_file that does not exist",
                {"quant.init=file", "quant.init_file=x.safetensors"}, ExitCode::kInput),
          words("an init_file of another model",
                {"quant.init=file", "quant.init_file=tokens.safetensors"}, ExitCode::kInput),
          words("a layer too small for quant.min_rank", {"quant.min_rank=33"}),
          words("a budget of nothing", {"quant.bits_per_weight=0"}),
          words("eval.every without anything to score", {"eval.every=1"}),
          words("an unknown task", {"eval.tasks=[wikitext]"}),
          words("an unknown export", {"export.formats=[gguf]"}),
          words("an unknown format of the exported head", {"export.head=int2"}),
          words("groups of a size that there is not", {"export.group_size=48"}),
          words("a layout of one path for a model of two", {"export.formats=[packed, dbf]"}),
          {"two formats for the one matrix of a tied model", ExitCode::kUsage,
           [](const Workshop& s) {
             s.replace("model/config.json", "\"tie_word_embeddings\": false",
                       "\"tie_word_embeddings\": true");
             return s.train_ids({"export.embeddings=int8", "export.head=bf16"});
           }},
          words("an argument that does not exist", {"--chekc"}),
          words("two things to do at once", {"--check", "--print-config"}),
          words("an argument that is not UTF-8", {"data.cache_dir=caf\xE9"}),
          {"options before a command", ExitCode::kUsage,
           [](const Workshop& s) {
             return s.train({"--check", "export", "out", "--output", "packed"});
           }},
          words("--factorize-only without a place", {"--factorize-only"}),
          {"no options at all", ExitCode::kUsage,
           [](const Workshop& s) {
             return s.train({"model.path=", "data.train=[]", "output.dir=", "train.steps=0"});
           }},
          {"a configuration that does not exist", ExitCode::kUsage,
           [](const Workshop& s) {
             return s.train({"--config", "rnu.yaml"});
           }},
          {"a configuration that is a folder", ExitCode::kUsage,
           [](const Workshop& s) {
             return s.train({"--config", "model"});
           }},
          yaml("a configuration that is no YAML", "train: {steps: 3\noptim: [", ExitCode::kInput),
          yaml("a configuration with tabs", "train:\n\tsteps: 3\n", ExitCode::kInput),
          yaml("a configuration that is a list", "- train\n- optim\n"),
          yaml("a configuration with a key twice", "train:\n  steps: 3\n  seed: 1\n  steps: 4\n"),
          yaml("a configuration with an unknown key", "train:\n  setps: 3\n"),
          yaml("a configuration whose aliases expand without end", alias_bomb(), ExitCode::kInput),
          yaml("a configuration that is not UTF-8", "train: {steps: 3} # \xE9\n", ExitCode::kInput),
          yaml("a configuration with a NUL", std::string("train: {steps: 3}\0\n", 19),
               ExitCode::kInput),
          eval("eval: no model", {"--tasks", "wikitext2"}),
          eval("eval: nothing to score", {"--model", "model"}),
          eval("eval: an unknown task", {"--model", "model", "--tasks", "wikitxt2"}),
          eval("eval: an unknown key", {"--model", "model", "--text", "text.txt", "eval.limt=3"}),
          eval("eval: an unknown dtype",
               {"--model", "model", "--text", "text.txt", "--dtype", "fp8"}),
          eval("eval: chunks of one token",
               {"--model", "model", "--text", "text.txt", "--seqlen", "1"}),
          eval("eval: a number out of range",
               {"--model", "model", "--text", "text.txt", "--limit", "-1"}),
          eval("eval: a limit that is neither a share nor a number",
               {"--model", "model", "--text", "text.txt", "--limit", "2.5"}),
          eval("eval: a batch size that is none",
               {"--model", "model", "--text", "text.txt", "--batch-size", "all"}),
          eval("eval: examples for a task that takes none",
               {"--model", "model", "--text", "text.txt", "--num-fewshot", "5"}),
          eval("eval: a teacher where nothing has a divergence from it",
               {"--model", "model", "--text", "text.txt", "--tasks", "rolling", "--teacher",
                "model"}),
          eval("eval: an option before a command",
               {"--model", "nope", "--output", "x.json", "compare", "a.json", "b.json"}),
          eval("eval: a key before a command",
               {"generate.seed=3", "generate", "--model", "model", "--prompt", "Once"}),
          eval("eval: a prompt that is not UTF-8",
               {"generate", "--model", "model", "--prompt", "Once \xFF"}),
          eval("eval: an option twice",
               {"--model", "model", "--text", "text.txt", "--limit", "1", "--limit", "2"}),
          eval("eval forward: an option missing", {"forward", "--model", "model"}),
      }};
}

}  // namespace littlebit::test
