// Rows of the table: places that cannot be written, memory, used folders, resuming; and what is
// odd but right.
#include "integration/wrong_input.h"

namespace littlebit::test {
namespace {

constexpr char kState[] = "out/checkpoints/step-1/state.safetensors";
constexpr char kManifest[] = "out/checkpoints/step-1/manifest.json";

// A row that resumes a run that stopped after one step of two, after `spoil`.
WrongInput resume(std::string what, ExitCode code, std::function<void(const Workshop&)> spoil,
                  std::vector<std::string> words = {}) {
  return {std::move(what), code,
          [spoil = std::move(spoil), words = std::move(words)](const Workshop& shop) {
            shop.train_ids({"train.stop_after=1"});
            spoil(shop);
            std::vector<std::string> all = {"--resume", "auto"};
            all.insert(all.end(), words.begin(), words.end());
            return shop.train_ids(all);
          }};
}

// A row whose littlebit-eval is told to write over what it reads, after a line of the shell.
WrongInput over(std::string what, std::vector<std::string> arguments,
                std::string prepare = "true") {
  return {std::move(what), ExitCode::kUsage,
          [arguments = std::move(arguments), prepare = std::move(prepare)](const Workshop& shop) {
            shop.shell(prepare);
            return shop.eval(arguments);
          }};
}

const auto kNothing = [](const Workshop&) {};

WrongInput text(std::string what, std::string content) {
  return {std::move(what), ExitCode::kDone, [=](const Workshop& shop) {
            shop.write("text.txt", content);
            return shop.train({"data.sequence_length=4"});
          }};
}

}  // namespace

WrongInputs wrong_outputs() {
  using Leaves = WrongInput::Leaves;
  return {
      "Output, disk and memory",
      {
          {"output.dir below a file", ExitCode::kOutput,
           [](const Workshop& s) { return s.train_ids({"output.dir=text.txt/out"}); }},
          {"output.dir is a file", ExitCode::kOutput,
           [](const Workshop& s) { return s.train_ids({"output.dir=text.txt"}); }},
          {"output.dir holds a run", ExitCode::kUsage,
           [](const Workshop& s) {
             s.train_ids({"train.stop_after=1"});
             return s.train_ids();
           }},
          {"output.dir holds a config.yaml of the user's", ExitCode::kUsage,
           [](const Workshop& s) {
             s.shell("mkdir out && echo '# mine' > out/config.yaml");
             return s.train_ids({"--resume", "auto"});
           }},
          {"output.dir holds a report.html of the user's", ExitCode::kUsage,
           [](const Workshop& s) {
             s.shell("mkdir out && echo mine > out/report.html");
             return s.train_ids({"--resume", "auto"});
           }},
          {"output.dir/export/packed holds something else", ExitCode::kUsage,
           [](const Workshop& s) {
             s.shell("mkdir -p out/export/packed && echo mine > out/export/packed/thesis.txt");
             return s.train_ids({"--resume", "auto"});
           }},
          {"output.dir is the root folder", ExitCode::kUsage,
           [](const Workshop& s) {
             return s.train_ids({"--check", "output.dir=/"});
           }},
          {"output.dir is a link to the root folder", ExitCode::kUsage,
           [](const Workshop& s) {
             s.shell("ln -s / out");
             return s.train_ids({"--check", "--resume", "auto"});
           }},
          {"output.dir is a model's folder", ExitCode::kUsage,
           [](const Workshop& s) { return s.train_ids({"output.dir=model"}); }},
          {"the model lies where the run exports to", ExitCode::kUsage,
           [](const Workshop& s) {
             s.shell("mkdir -p out/export && cp -r model out/export/packed");
             return s.train_ids({"model.path=out/export/packed", "--resume", "auto"});
           }},
          {"output.dir is being written by another run", ExitCode::kPeerLost,
           [](const Workshop& s) {
             s.shell("mkdir out");
             return s.train_ids({}, "flock --nonblock out ");
           }},
          {"a link where the export grows", ExitCode::kOutput,
           [](const Workshop& s) {
             s.shell("mkdir -p victim out/export && echo mine > victim/thesis.txt");
             s.shell("ln -s ../../victim out/export/packed.partial");
             return s.train_ids({"--resume", "auto"});
           }},
          {"a folder of the user's where a checkpoint grows", ExitCode::kOutput,
           [](const Workshop& s) {
             s.shell("mkdir -p out/checkpoints/step-2.partial");
             s.shell("echo mine > out/checkpoints/step-2.partial/thesis.txt");
             return s.train_ids({"--resume", "auto"});
           }},
          {"a link where --output grows", ExitCode::kOutput,
           [](const Workshop& s) {
             s.shell("echo mine > thesis.txt && ln -s thesis.txt results.json.partial");
             return s.eval({"--model", "model", "--text", "text.txt", "--output", "results.json"});
           }},
          {"data.cache_dir below a file", ExitCode::kOutput,
           [](const Workshop& s) { return s.train({"data.cache_dir=text.txt/cache"}); }},
          {"no room for the tokens", ExitCode::kOutput,
           [](const Workshop& s) { return s.train({}, "ulimit -f 1; "); }},
          {"no room for a checkpoint", ExitCode::kOutput,
           [](const Workshop& s) { return s.train_ids({}, "ulimit -f 64; "); }, Leaves::kRun},
          {"no room for the packed export", ExitCode::kOutput,
           [](const Workshop& s) {
             return s.train_ids({"quant.bits_per_weight=0.5", "quant.min_rank=1"},
                                "ulimit -f 120; ");
           },
           Leaves::kRun},
          {"no room for the logits", ExitCode::kOutput,
           [](const Workshop& s) {
             return s.eval({"forward", "--model", "model", "--input", "ids.safetensors", "--output",
                            "logits.safetensors"},
                           "ulimit -f 8; ");
           }},
          {"results into a folder that is a file", ExitCode::kOutput,
           [](const Workshop& s) {
             return s.eval(
                 {"--model", "model", "--text", "text.txt", "--output", "text.txt/r.json"});
           }},
          {"results over a folder", ExitCode::kOutput,
           [](const Workshop& s) {
             return s.eval({"--model", "model", "--text", "text.txt", "--output", "model"});
           }},
          {"results into a pipe", ExitCode::kOutput,
           [](const Workshop& s) {  // a device is refused alike, and would be lost if not
             s.shell("mkfifo pipe");
             return s.eval({"--model", "model", "--text", "text.txt", "--output", "pipe"});
           }},
          {"results into a link to a pipe", ExitCode::kOutput,
           [](const Workshop& s) {
             s.shell("mkfifo pipe && ln -s pipe results.json");
             return s.eval({"--model", "model", "--text", "text.txt", "--output", "results.json"});
           }},
          {"results into a link to what is open", ExitCode::kOutput,
           [](const Workshop& s) {  // as /dev/stdout is one
             s.shell("ln -s /proc/self/fd/1 stdout");
             return s.eval({"--model", "model", "--text", "text.txt", "--output", "stdout"});
           }},
          {"results into a link to itself", ExitCode::kOutput,
           [](const Workshop& s) {
             s.shell("ln -s results.json results.json");
             return s.eval({"--model", "model", "--text", "text.txt", "--output", "results.json"});
           }},
          over("results over the text that is scored",
               {"--model", "model", "--text", "text.txt", "--output", "text.txt"}),
          over("results over it by a link",
               {"--model", "model", "--text", "text.txt", "--output", "link"},
               "ln -s model/../text.txt link"),
          over("results over the configuration",
               {"--config", "run.yaml", "--model", "model", "--text", "text.txt", "--output",
                "./run.yaml"},
               "echo 'eval: {limit: 1}' > run.yaml"),
          over("results over a task's data",
               {"--model", "model", "--tasks", "wikitext2", "--data-root", ".", "--seqlen", "16",
                "--output", "wiki.test.raw"},
               "cp text.txt wiki.test.raw"),
          over("results over the model's tensors",
               {"--model", "model", "--text", "text.txt", "--output", "model/model.safetensors"}),
          over("results over tensors that the model links to",
               {"--model", "model", "--text", "text.txt", "--output", "blob"},
               "mv model/model.safetensors blob && ln -s ../blob model/model.safetensors"),
          over("samples over the model's config.json",
               {"--model", "model", "--text", "text.txt", "--samples", "model/config.json"}),
          over("results and samples into one file",
               {"--model", "model", "--text", "text.txt", "--output", "r.json", "--samples",
                "./r.json"}),
          over(
              "results and samples into one file by a link that points to nothing yet",
              {"--model", "model", "--text", "text.txt", "--output", "link", "--samples", "r.json"},
              "ln -s r.json link"),
          over("logits over the ids", {"forward", "--model", "model", "--input", "ids.safetensors",
                                       "--output", "ids.safetensors"}),
          over("logits over the model's tensors",
               {"forward", "--model", "model", "--input", "ids.safetensors", "--output",
                "model/model.safetensors"}),
          over("logits among the model's tensors",
               {"forward", "--model", "model", "--input", "ids.safetensors", "--output",
                "model/logits.safetensors"}),
          over("token ids over the strings",
               {"tokenize", "--model", "model", "--input", "strings.json", "--output",
                "strings.json"},
               "echo '[\"a\"]' > strings.json"),
          over("logits to no place",
               {"forward", "--model", "model", "--input", "ids.safetensors", "--output", ""}),
          over("token ids of no place",
               {"tokenize", "--model", "model", "--input", "", "--output", "token-ids.json"}),
          {"the same file is being written", ExitCode::kPeerLost,
           [](const Workshop& s) {
             s.write("results.json.partial", "");
             return s.eval({"--model", "model", "--text", "text.txt", "--seqlen", "16", "--output",
                            "results.json"},
                           "flock --nonblock results.json.partial ");
           }},
          {"standard output is full", ExitCode::kOutput,
           [](const Workshop& s) {
             return s.eval({"--model", "model", "--text", "text.txt", "--seqlen", "16"},
                           "sh -c '\"$@\" >/dev/full' sh ");
           }},
          {"memory is full, scoring", ExitCode::kOutput,
           [](const Workshop& s) {  // logits of 240,000 tokens take 469 MiB
             s.write_ids("ids.safetensors", 2000, 120);
             return s.eval({"forward", "--model", "model", "--input", "ids.safetensors", "--output",
                            "logits.safetensors", "--threads", "1"},
                           "ulimit -v 800000; ");
           }},
          {"memory is full, training", ExitCode::kOutput,
           [](const Workshop& s) {
             return s.train_ids({"train.micro_batch_size=100000"}, "ulimit -v 1500000; ");
           },
           Leaves::kRun},
      }};
}

WrongInputs wrong_resumes() {
  using Leaves = WrongInput::Leaves;
  return {
      "Resuming",
      {
          {"--resume with a folder that does not exist", ExitCode::kInput,
           [](const Workshop& s) {
             return s.train_ids({"--resume", "out/checkpoints/step-7"});
           }},
          {"--resume with a folder that is no checkpoint", ExitCode::kInput,
           [](const Workshop& s) {
             return s.train_ids({"--resume", "model"});
           }},
          {"--resume with a file", ExitCode::kInput,
           [](const Workshop& s) {
             return s.train_ids({"--resume", "text.txt"});
           }},
          resume("the only checkpoint's state is cut", ExitCode::kInput,
                 [](const Workshop& s) { s.write(kState, s.read(kState).substr(0, 3000)); }),
          resume("a bit of its state is wrong", ExitCode::kInput,
                 [](const Workshop& s) {
                   std::string bytes = s.read(kState);
                   bytes[bytes.size() - 9] ^= 1;
                   s.write(kState, bytes);
                 }),
          resume("its state is missing", ExitCode::kInput,
                 [](const Workshop& s) { s.remove(kState); }),
          resume("its manifest is cut", ExitCode::kInput,
                 [](const Workshop& s) { s.write(kManifest, s.read(kManifest).substr(0, 99)); }),
          resume("its manifest is missing", ExitCode::kInput,
                 [](const Workshop& s) { s.remove(kManifest); }),
          resume("its manifest is of another version", ExitCode::kInput,
                 [](const Workshop& s) { s.replace(kManifest, "\"version\":2", "\"version\":9"); }),
          resume("its manifest is of the format before this one", ExitCode::kInput,
                 [](const Workshop& s) { s.replace(kManifest, "\"version\":2", "\"version\":1"); }),
          resume("another learning rate", ExitCode::kUsage, kNothing, {"optim.learning_rate=1"}),
          resume("a setting that no run changes", ExitCode::kUsage, kNothing,
                 {"--resume-with", "train.seed=7"}),
          resume("another learning rate on purpose", ExitCode::kDone, kNothing,
                 {"--resume-with", "optim.learning_rate=1e-3"}),
          resume("another number of paths", ExitCode::kUsage, kNothing, {"quant.residual=false"}),
          resume("another teacher", ExitCode::kUsage,
                 [](const Workshop& s) { s.replace("model/config.json", "\"silu\"", "\"gelu\""); }),
          resume("other training data", ExitCode::kUsage,
                 [](const Workshop& s) {
                   std::string bytes = s.read("tokens.safetensors");
                   bytes[bytes.size() - 4] ^= 1;
                   s.write("tokens.safetensors", bytes);
                 }),
          {"the loss is not finite", ExitCode::kNumerics,
           [](const Workshop& s) {
             return s.train_ids({"train.steps=20", "optim.learning_rate=1e6",
                                 "optim.max_grad_norm=0", "optim.warmup_ratio=0",
                                 "distill.hidden_weight=1e9", "checkpoint.every=1"});
           },
           Leaves::kRun},
      }};
}

WrongInputs odd_but_right() {
  return {
      "Odd, but right",
      {
          text("text with CR LF", "Once upon a time\r\nthere was a boy\r\nand a girl.\r\n"),
          text("text with NUL bytes", std::string("Once\0upon\0a time there was a boy.\0", 34)),
          text("text with a byte order mark", "\xEF\xBB\xBFOnce upon a time there was a boy."),
          text("text without a newline at its end", "Once upon a time there was"),
          {"a budget that no layer can keep", ExitCode::kDone,
           [](const Workshop& s) { return s.train_ids({"quant.bits_per_weight=0.1"}); }},
          {"a setting of config.json that no class reads", ExitCode::kDone,
           [](const Workshop& s) {
             s.replace("model/config.json", "\"mlp_bias\"", "\"colour\": \"blue\", \"mlp_bias\"");
             return s.train_ids();
           }},
          {"an adapter beside the model", ExitCode::kDone,
           [](const Workshop& s) {
             s.write("model/adapter_config.json", "{}");
             return s.train_ids();
           }},
          {"a tensor of a type that is not known, and not needed", ExitCode::kDone,
           [](const Workshop& s) {
             s.change_tensors([](std::vector<Workshop::Tensor>& tensors) {
               tensors.push_back({"k_scale", "F8_E4M3", {1}, "x"});
             });
             return s.forward();
           }},
          {"jsonl read as text", ExitCode::kDone,
           [](const Workshop& s) {
             s.write("text.txt", "{\"text\": \"Once upon a time there was a boy.\"}\n");
             return s.train({"data.train=text.txt"});
           }},
          {"WikiText-2, but not the whole of it", ExitCode::kDone,
           [](const Workshop& s) {
             s.shell("cp text.txt wiki.test.raw");
             return s.eval({"--model", "model", "--tasks", "wikitext2", "--data-root", ".",
                            "--seqlen", "16", "--limit", "2"});
           }},
          {"a tensor too many", ExitCode::kDone,
           [](const Workshop& s) {
             s.change_tensors([](std::vector<Workshop::Tensor>& tensors) {
               tensors.push_back(
                   {"model.layers.0.rotary_emb.inv_freq", "F32", {4}, std::string(16, '\0')});
               tensors.push_back({"leftover", "F32", {4}, std::string(16, '\0')});
             });
             return s.train_ids();
           }},
          {"a model in shards, reached by links", ExitCode::kDone,
           [](const Workshop& s) {
             s.shard();
             s.shell(
                 "mkdir blobs && mv model/part-* blobs && ln -s ../blobs/part-1.safetensors "
                 "../blobs/part-2.safetensors model");
             return s.forward();
           }},
          {"a file of the index behind the model's own", ExitCode::kDone,
           [](const Workshop& s) {
             s.write("model/model.safetensors.index.json", "{}");
             return s.forward();
           }},
          {"damaged tokens in the cache", ExitCode::kDone,
           [](const Workshop& s) {
             s.train({"train.steps=1", "output.dir=first", "data.cache_dir=cache"});
             s.shell("for f in cache/*; do head -c 300 $f > x; mv x $f; done; mv cache out");
             return s.train({"data.cache_dir=out"});
           }},
          {"damaged start factors in the cache", ExitCode::kDone,
           [](const Workshop& s) {
             s.train_ids({"--factorize-only", "quant.cache_dir=out"});
             s.shell("for f in out/*; do head -c 3000 $f > x; mv x $f; done");
             return s.train_ids({"quant.cache_dir=out"});
           }},
          {"a wrong bit in the start factors in the cache", ExitCode::kDone,
           [](const Workshop& s) {
             s.train_ids({"--factorize-only", "quant.cache_dir=out"});
             s.shell("printf '\\377' | dd of=$(ls out/*) bs=1 seek=60001 conv=notrunc 2>dd.txt");
             return s.train_ids({"quant.cache_dir=out"});
           }},
          {"scores in run.json that no run wrote", ExitCode::kDone,
           [](const Workshop& s) {
             s.train_ids({"train.stop_after=1"});
             s.replace("out/run.json", "\"scores\": []",
                       "\"scores\": [{\"step\": \"x\"}, {\"step\": null}, {}, 7]");
             return s.train_ids({"--resume", "auto"});
           }},
          {"a damaged checkpoint behind a good one", ExitCode::kDone,
           [](const Workshop& s) {
             s.train_ids({"train.steps=3", "train.stop_after=2", "checkpoint.every=1"});
             s.write("out/checkpoints/step-2/state.safetensors", "{}");
             return s.train_ids({"train.steps=3", "--resume", "auto"});
           }},
          {"remains of a run that was killed", ExitCode::kDone,
           [](const Workshop& s) {
             s.shell(
                 "mkdir -p out/checkpoints/step-1.partial/x out/cache && touch "
                 "out/log.txt out/run.json.partial out/cache/tokens-0.bin.partial");
             s.write("out/metrics.jsonl", "{\"step\": 1}\n{\"ste");
             return s.train_ids({"--resume", "auto"});
           }},
          {"a configuration by a pipe, with a byte order mark", ExitCode::kDone,
           [](const Workshop& s) {
             s.write("run.yaml", "\xEF\xBB\xBFtrain: {steps: 1}\r\n");
             s.shell("mkfifo pipe");
             return s.train_ids({"--config", "pipe"}, "{ (sleep 0.5; cat run.yaml >pipe) & }; ");
           }},
      }};
}

}  // namespace littlebit::test
