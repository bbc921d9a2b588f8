// Every option of a run says what it decides, or stands in the list of those that decide nothing:
// a new one cannot be forgotten.
#include "littlebit/train/options.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <memory>
#include <set>

namespace littlebit {
namespace {

using Keys = std::vector<std::string>;

constexpr Decides kAll[] = {Decides::kStart, Decides::kRun, Decides::kRunChangeable,
                            Decides::kRunResolved};

// Under another value of these a run goes on and gives the same numbers (of training; those of
// evaluation are a matter of their own). Where train.global_batch_size and train.dtype take theirs
// from train.micro_batch_size and train.device, they are the ones that are compared.
const std::set<std::string> kDecideNothing = {"recipe",  // the options that it sets do
                                              "quant.cache_dir",
                                              "data.cache_dir",
                                              "blockwise.storage",
                                              "train.stop_after",
                                              "train.micro_batch_size",
                                              "train.device",
                                              "train.recompute",
                                              "train.block_inputs_device",
                                              "optim.state_device",
                                              "train.threads",
                                              "train.time_limit",
                                              "train.peer_timeout",
                                              "train.teacher",
                                              "train.gradient_reduce",
                                              "checkpoint.every",
                                              "checkpoint.every_minutes",
                                              "checkpoint.keep",
                                              "checkpoint.async",
                                              "eval.tasks",
                                              "eval.text",
                                              "eval.text_field",
                                              "eval.data_root",
                                              "eval.task_folder",
                                              "eval.sequence_length",
                                              "eval.limit",
                                              "eval.batch_size",
                                              "eval.num_fewshot",
                                              "eval.every",
                                              "export.formats",
                                              "export.dense_dtype",
                                              "export.embeddings",
                                              "export.group_size",
                                              "export.head",
                                              "log.every",
                                              "log.tensorboard",
                                              "output.dir"};

struct Declared {
  RunOptions options;
  OptionTree tree;
  Declared() { options.declare(tree); }
  // Of a section, or of all where it is "".
  Keys deciding(Decides what, const std::string& section = "") const {
    Keys keys = tree.deciding(what);
    std::erase_if(keys, [&](const std::string& key) { return !key.starts_with(section); });
    return keys;
  }
};

TEST_CASE("every option of a run says what it decides, or is known to decide nothing") {
  const Declared declared;
  std::set<std::string> marked;
  for (const Decides what : kAll) {
    for (const std::string& key : declared.tree.deciding(what)) marked.insert(key);
  }
  const Keys keys = declared.tree.keys();
  for (const std::string& key : keys) {
    INFO(key + ": say in its declaration what it decides (Decides), or add it to the list here");
    CHECK(marked.count(key) + kDecideNothing.count(key) == 1);
  }
  for (const std::string& key : kDecideNothing) {
    INFO(key);
    CHECK(std::find(keys.begin(), keys.end(), key) != keys.end());
  }
}

TEST_CASE("a time limit is minutes, or as Slurm writes it") {
  const auto seconds = [](const std::string& text) {
    return TrainOptions{.time_limit = text}.limit_seconds();
  };
  CHECK(seconds("90") == 5400);
  CHECK(seconds("1:30") == 90);
  CHECK(seconds("0:05") == 5);
  CHECK(seconds("1:30:00") == 5400);
  CHECK(seconds("2-12") == 60 * 3600);
  CHECK(seconds("1-0:30") == 86400 + 1800);
  CHECK(seconds("1-01:01:01") == 86400 + 3661);
  for (const char* wrong : {"", "0", "0:00", "1h", "-5", "1:2:3:4", "1:", "1.5", "1-", " 5", "-"}) {
    INFO(wrong);
    CHECK(seconds(wrong) == std::nullopt);
  }
}

TEST_CASE("a recipe sets what nobody gave, and says so") {
  const std::map<std::string, std::string> of_best = {{"quant.residual", "false"},
                                                      {"quant.init", "lb_admm"},
                                                      {"quant.ranks", "by_loss"},
                                                      {"optim.schedule", "linear"},
                                                      {"distill.hidden", "relative"},
                                                      {"distill.hidden_weight", "3"},
                                                      {"distill.hidden_schedule", "while_far"}};
  const auto with = [](const std::string& recipe, const std::string& yaml = "") {
    auto declared = std::make_unique<Declared>();
    declared->tree.load_yaml_text(yaml, "run.yaml");
    if (!recipe.empty()) declared->tree.set("recipe=" + recipe);
    apply_recipe(declared->options, declared->tree);
    declared->tree.finish();
    return declared;
  };
  const auto text = [](const std::unique_ptr<Declared>& declared) {
    std::string yaml = declared->tree.to_yaml(/*with_origins=*/false);
    return yaml.substr(yaml.find('\n'));  // behind the recipe's own line
  };
  const auto usual = with("");
  CHECK(text(with("reference")) == text(usual));
  CHECK(with("littlebit2")->options.quant.init == "joint_itq");
  const auto best = with("best");
  for (const auto& [key, value] : of_best) {
    INFO(key);
    CHECK(best->tree.text(key) == value);
    CHECK(best->tree.text(key) != usual->tree.text(key));
    CHECK(best->tree.origin(key) == Origin::kPreset);
    CHECK_FALSE(best->tree.is_set(key));
  }
  CHECK(best->options.quant.latent_rms > 0);
  CHECK_THAT(best->tree.to_yaml(true), Catch::Contains("  schedule: linear  # recipe best\n"));
  SECTION("what is given wins, also the default's own value, and whatever comes first") {
    const auto mixed = with("", "optim: {schedule: cosine}\nrecipe: best\n");
    CHECK(mixed->options.optim.schedule == Schedule::kCosine);
    CHECK(mixed->tree.origin("optim.schedule") == Origin::kFile);
    CHECK_FALSE(mixed->options.quant.residual);
  }
  SECTION("the rate of best's latents goes with their size") {
    const auto rate = [&](const std::string& yaml) {
      return with("best", yaml)->options.optim.latent_learning_rate;
    };
    CHECK(rate("") == 4e-4);
    CHECK(rate("quant: {latent_rms: 0.05}") == 1e-3);
    CHECK(rate("quant: {latent_rms: 0}") == 0);
    CHECK(rate("quant: {latent_rms: 0.05}\noptim: {latent_learning_rate: 3e-4}") == 3e-4);
    CHECK(with("littlebit2", "quant: {latent_rms: 0.05}")->options.optim.latent_learning_rate == 0);
  }
  SECTION("a run's own configuration gives the same settings again") {
    const auto again = with("", best->tree.to_yaml(true));
    CHECK(text(again) == text(best));
    const auto other = with("reference", best->tree.to_yaml(true));
    CHECK(text(other) == text(best));
  }
  SECTION("an unknown one is told") {
    Declared declared;
    declared.tree.set("recipe=bset");
    apply_recipe(declared.options, declared.tree);
    CHECK_THROWS_WITH(declared.tree.finish(), Catch::Contains("reference, littlebit2 or best"));
  }
}

TEST_CASE("what may be changed where a run goes on is how it learns, and nothing else") {
  const Declared declared;
  const Keys changeable = declared.deciding(Decides::kRunChangeable);
  CHECK(changeable == Keys{"distill.kl_weight", "distill.hidden", "distill.hidden_weight",
                           "distill.hidden_schedule", "distill.normalization",
                           "blockwise.learning_rate", "blockwise.latent_learning_rate",
                           "optim.learning_rate", "optim.latent_learning_rate", "optim.beta1",
                           "optim.beta2", "optim.epsilon", "optim.weight_decay",
                           "optim.warmup_ratio", "optim.schedule", "optim.max_grad_norm",
                           "train.block_inputs", "train.reduce_dtype"});
  CHECK(declared.deciding(Decides::kRun) ==
        Keys{"quant.bits_per_weight", "quant.kv_factor", "quant.min_rank", "quant.ranks",
             "quant.surrogate", "data.sequence_length", "data.shuffle", "blockwise.sequences",
             "blockwise.passes", "blockwise.batch_size", "optim.moments", "train.seed"});
  // A run that goes on has its factors: what only its start needed may be another.
  for (const std::string& key : declared.deciding(Decides::kStart, "quant.")) {
    for (const Decides run : {Decides::kRun, Decides::kRunChangeable, Decides::kRunResolved}) {
      const Keys keys = declared.deciding(run);
      CHECK(std::find(keys.begin(), keys.end(), key) == keys.end());
    }
  }
}

}  // namespace
}  // namespace littlebit
