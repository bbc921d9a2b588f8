// littlebit-train: parses the command line, runs, maps errors to exit codes.
#include <iostream>

#include "command_line.h"
#include "estimate_arguments.h"
#include "littlebit/distributed/nproc.h"
#include "littlebit/nn/among_processes.h"
#include "littlebit/train/check_run.h"
#include "littlebit/train/export_command.h"
#include "littlebit/train/run.h"
#include "littlebit/train/self_test.h"
#include "programs.h"

namespace littlebit {
namespace {

constexpr char kUsage[] =
    R"(littlebit-train FILE.yaml [key.path=value ...] [options]

Compresses a Hugging Face language model to 1 ... 0.1 bits per weight. For example:
    littlebit-train model.path=models/SmolLM2-135M data.train=corpus/ quant.bits_per_weight=0.55 \
      train.steps=2000 output.dir=runs/smol

  --check                   check settings, files and folders; write nothing
  --resume auto             continue from the newest checkpoint of output.dir
  --help                    every option
  export RUN --output DIR   write the model of a checkpoint
)";

struct Arguments {
  std::string config, resume = "never", reference, checkpoint, output;
  std::vector<std::string> words, resume_with;
  bool check = false, print_config = false, factorize_only = false, estimate_memory = false,
       self_test = false;
  EstimateArguments estimate;
};

RunRequest parse_resume(const std::string& text) {
  if (text == "never") return {.resume = Resume::kNever};
  if (text == "auto") return {.resume = Resume::kAuto};
  if (text.empty()) throw UsageError("--resume needs a value", "auto, never, or a checkpoint");
  return {.resume = Resume::kFolder, .resume_from = text};
}

// --resume-with KEY or KEY=VALUE: with a value it is a setting too.
RunRequest make_request(const Arguments& arguments, OptionTree& tree) {
  RunRequest request = parse_resume(arguments.resume);
  for (const std::string& word : arguments.resume_with) {
    const size_t equals = word.find('=');
    if (equals != std::string::npos) tree.set(word);
    request.changing.push_back(word.substr(0, equals));
  }
  check_changing(request);
  return request;
}

int run(Arguments& arguments) {
  take_config_word(arguments.words, arguments.config);
  RunOptions options;
  OptionTree tree;
  options.declare(tree);
  if (!arguments.reference.empty()) {
    std::cout << (arguments.reference == "yaml" ? tree.reference_yaml() : tree.markdown());
    return 0;
  }
  read_options(tree, arguments.config, listed_words(arguments.words));
  const RunRequest request = make_request(arguments, tree);
  apply_recipe(options, tree);
  if (arguments.self_test) {
    tree.finish();
    return static_cast<int>(run_self_test(options.train));
  }
  if (arguments.estimate_memory) {
    options.check_plan(tree);
  } else if (!arguments.print_config) {
    options.check(tree);
  }
  tree.finish();
  if (arguments.print_config) {
    std::cout << tree.to_yaml(/*with_origins=*/true);
    return 0;
  }
  if (arguments.check) {
    check_run(options, tree, request);
    return 0;
  }
  if (arguments.estimate_memory) {
    return arguments.estimate.run(options, tree);
  }
  return among_processes(
      options.train.threads, options.train.device, "train.device", [&](const ProcessPlace& place) {
        RunRequest here = request;
        here.local_rank = place.local_rank;
        here.local_world = place.local_world;
        here.threads = place.threads;
        if (!arguments.factorize_only) {
          return static_cast<int>(run_training(options, tree, here, place.processes));
        }
        factorize_only(options, tree, here, place.processes);
        return 0;
      });
}

int run_export(const Arguments& arguments) {
  RunOptions options;
  OptionTree tree;
  options.declare(tree);
  read_options(tree, config_of_run(arguments.checkpoint), listed_words(arguments.words));
  options.export_.check(tree);
  tree.finish();
  export_checkpoint(options, tree, arguments.checkpoint, arguments.output);
  return 0;
}

}  // namespace

int littlebit_train(int argc, char** argv) {
  if (argc == 1) {
    std::cerr << kUsage;
    return static_cast<int>(ExitCode::kUsage);
  }
  if (const auto ended = launch_if_asked(argc, argv)) return *ended;
  CLI::App app(
      "Compresses a Hugging Face language model to 1 ... 0.1 bits per weight by LittleBit.",
      "littlebit-train");
  app.set_version_flag("--version", "littlebit-train " LITTLEBIT_VERSION);
  Arguments arguments;
  a_path(app.add_option("--config", arguments.config,
                        "YAML file with options; the same as the file's name alone"))
      ->check(CLI::ExistingFile.description(""))  // --help says FILE, no more
      ->type_name("FILE");
  app.add_option("options", arguments.words, "FILE.yaml, and key.path=value overrides")
      ->type_name("");
  a_path(app.add_option("--resume", arguments.resume,
                        "auto (the newest checkpoint of output.dir, or a fresh start), a "
                        "checkpoint folder, or never"))
      ->type_name("auto|DIR|never");
  app.add_option("--resume-with", arguments.resume_with,
                 "resume although this setting of optim or distill differs from the checkpoint's: "
                 "its key, or key=value")
      ->type_name("KEY")
      ->allow_extra_args(false);
  app.add_option("--nproc",
                 "start N processes on this host to train together; torchrun, srun or mpirun can "
                 "start them instead")
      ->type_name("N");               // read by launch_if_asked()
  std::vector<CLI::Option*> instead;  // of training; one of them at a time
  const auto add_instead = [&](const char* name, bool& value, const char* help) {
    instead.push_back(app.add_flag(name, value, help));
  };
  add_instead("--check", arguments.check,
              "check settings, files and folders, print the plan, write nothing");
  add_instead("--estimate-memory", arguments.estimate_memory,
              "print how much memory a run would take, part by part; config.json is enough");
  arguments.estimate.add_to(app, instead.back());
  add_instead("--factorize-only", arguments.factorize_only,
              "compute the initial factors and cache them in quant.cache_dir");
  add_instead("--self-test", arguments.self_test,
              "compare what train.device computes with the CPU's fp64, and write nothing");
  add_instead("--print-config", arguments.print_config,
              "print the resolved options with their origins");
  instead.push_back(app.add_option("--print-reference", arguments.reference,
                                   "print every option as yaml or markdown"));
  instead.back()
      ->check(CLI::IsMember({"yaml", "markdown"}).description(""))
      ->type_name("yaml|markdown");
  CLI::App* exporting = app.add_subcommand("export", "export a checkpoint without training");
  a_path(exporting->add_option(
             "checkpoint", arguments.checkpoint,
             "a checkpoint, a run's folder (its newest checkpoint), or a packed model (becomes "
             "dense)"))
      ->type_name("")
      ->required();
  a_path(exporting->add_option("--output", arguments.output,
                               "folder for the model (for packed/ and dense/"
                               " where export.formats names both)"))
      ->type_name("DIR")
      ->required();
  exporting
      ->add_option("options", arguments.words,
                   "key.path=value overrides of the run's config.yaml: model.path, export.*")
      ->type_name("");
  app.footer([] {
    RunOptions options;
    OptionTree tree;
    options.declare(tree);
    return "Options:\n" + tree.help_text();
  });
  if (const auto done = parse_command_line(app, argc, argv)) return *done;
  refuse_together(instead);
  return exporting->parsed() ? run_export(arguments) : run(arguments);
}

}  // namespace littlebit
