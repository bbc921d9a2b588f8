// Runs of littlebit-train on a tiny teacher, in a folder of their own.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "integration/program.h"
#include "support/tiny_model.h"

namespace littlebit::test {

// A tiny teacher and 12 blocks of 16 tokens: batches of 4 make an epoch of 3 steps.
class TinyScene {
 public:
  TinyScene() {
    write_tiny_llama(temp_ / "teacher");
    write_tiny_ids(temp_ / "tokens.safetensors", 12, 16);
  }

  std::filesystem::path operator/(const std::string& name) const { return temp_ / name; }

  std::vector<std::string> words(const std::string& output,
                                 std::vector<std::string> extra = {}) const {
    std::vector<std::string> all = {
        "model.path=" + (temp_ / "teacher").string(),
        "data.train=[{path: \"" + (temp_ / "tokens.safetensors").string() + "\", format: tokens}]",
        "data.sequence_length=16",
        "quant.bits_per_weight=0.5",
        "train.steps=20",
        "train.global_batch_size=4",
        "train.micro_batch_size=3",
        "optim.learning_rate=5e-3",
        "output.dir=" + (temp_ / output).string()};
    all.insert(all.end(), extra.begin(), extra.end());
    return all;
  }
  Outcome train(const std::string& output, std::vector<std::string> extra = {},
                const std::string& prefix = "") const {
    return run_program("littlebit-train", words(output, std::move(extra)), prefix);
  }

 private:
  TempFolder temp_;
};

}  // namespace littlebit::test
