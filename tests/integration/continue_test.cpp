// A packed model as the start of another training, on other text (docs/continue.md).
#include <catch2/catch.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "integration/program.h"
#include "integration/run_metrics.h"
#include "integration/tiny_scene.h"
#include "littlebit/io/safetensors_writer.h"
#include "littlebit/nn/tensor_io.h"
#include "support/authors_folder.h"

using namespace littlebit;
namespace fs = std::filesystem;

namespace {

constexpr int64_t kBlocks = 12, kLength = 16;

// Ids from one half of the vocabulary, `first` on: a text of another kind than that of the scene.
void write_half_ids(const fs::path& file, int64_t first) {
  at::manual_seed(11);
  SafetensorsWriter writer(file);
  writer.declare("input_ids", Dtype::kI32, {kBlocks, kLength});
  write_tensor(writer, at::randint(first, first + 24, {kBlocks, kLength}, at::kInt));
  writer.commit();
}

std::string tokens(const fs::path& file) {
  return "data.train=[{path: \"" + file.string() + "\", format: tokens}]";
}

// What every step sees is the whole text: the first line has the loss of the start on it.
const std::vector<std::string> kWholeText = {"recipe=best", "train.global_batch_size=12",
                                             "train.micro_batch_size=12"};

std::vector<double> divergences(const fs::path& run) {
  std::vector<double> all;
  for (const Json& line : test::metrics_without_times(run)) {
    all.push_back(line.at("loss_kl").get<double>() / (kBlocks * kLength));
  }
  return all;
}

void require_done(const test::Outcome& outcome) {
  INFO(outcome.err);
  REQUIRE(outcome.code == 0);
}

}  // namespace

TEST_CASE("a packed model is trained on, on other text") {
  const test::TinyScene scene;
  write_half_ids(scene / "other.safetensors", 24);
  const std::string other = tokens(scene / "other.safetensors");
  const auto train = [&](const std::string& name, std::vector<std::string> words) {
    words.insert(words.end(), kWholeText.begin(), kWholeText.end());
    require_done(scene.train(name, words));
    return divergences(scene / name);
  };
  train("first", {"quant.residual=true", "train.steps=60"});
  const std::string packed = "quant.init_file=" + (scene / "first" / "export" / "packed").string();

  const double fresh = train("fresh", {"quant.residual=true", "train.steps=1", other}).front();
  const auto second = train("second", {"train.steps=60", other, "quant.init=file", packed});
  REQUIRE(second.size() == 60);
  CHECK(second.front() < 0.9 * fresh);          // what was learned is still there
  CHECK(second.back() < 0.9 * second.front());  // and more comes to it
  // The size of latents is how they move, not what they stand for.
  const auto third =
      train("third", {"train.steps=60", other, "quant.init=file", packed, "quant.latent_rms=0.5"});
  CHECK(third.front() == Approx(second.front()).epsilon(1e-6));
  CHECK(third.back() != Approx(second.back()).epsilon(1e-6));
}

TEST_CASE("a folder of the authors' packer is trained on") {
  const test::TinyScene scene;
  const test::AuthorsFolder authors(scene / "teacher", {});
  authors.write(scene / "packed");
  std::vector<std::string> words = kWholeText;
  words.insert(words.end(), {"train.steps=60", "quant.init=file",
                             "quant.init_file=" + (scene / "packed").string()});
  require_done(scene.train("run", words));
  const std::vector<double> all = divergences(scene / "run");
  CHECK(all.back() < 0.8 * all.front());
}
