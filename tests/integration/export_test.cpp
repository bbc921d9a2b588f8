// littlebit-train export as a user runs it; and the authors' data recipe through a whole run.
#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <nlohmann/json.hpp>

#include "integration/outcome.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/write_file.h"
#include "littlebit/io/json.h"
#include "littlebit/nn/tensor_io.h"
#include "support/paths.h"
#include "support/tiny_model.h"

using namespace littlebit;
using Catch::Matchers::Contains;
using littlebit::test::check_refused;
using littlebit::test::Outcome;
using littlebit::test::require_done;
namespace fs = std::filesystem;

namespace {

// A finished run of two steps on a tiny teacher.
class FinishedRun {
 public:
  FinishedRun() {
    test::write_tiny_llama(temp_ / "teacher");
    test::write_tiny_ids(temp_ / "tokens.safetensors", 8, 16);
    const Outcome outcome = test::run_program(
        "littlebit-train",
        {"model.path=" + (temp_ / "teacher").string(),
         "data.train=[{path: \"" + (temp_ / "tokens.safetensors").string() + "\", format: tokens}]",
         "data.sequence_length=16", "quant.bits_per_weight=0.5", "quant.surrogate=ste",
         "quant.kv_factor=2", "train.steps=2", "optim.learning_rate=5e-3",
         "export.formats=[packed, dense]", "output.dir=" + (temp_ / "run").string()});
    require_done(outcome);
    // Everything a run wrote is named at its end.
    for (const char* name :
         {"report.html", "run.json", "metrics.jsonl", "factorization.jsonl", "config.yaml",
          "log.txt", "checkpoints", "tensorboard", "export/packed", "export/dense"}) {
      CHECK_THAT(outcome.err, Contains((temp_ / "run" / name).string()));
      CHECK(fs::exists(temp_ / "run" / name));
    }
  }
  fs::path operator/(const std::string& name) const { return temp_ / name; }
  std::string checkpoint() const { return (temp_ / "run/checkpoints/step-2").string(); }

  Outcome export_to(const std::string& source, const std::string& output,
                    std::vector<std::string> extra = {}, const std::string& prefix = "") const {
    std::vector<std::string> words = {"export", source, "--output", (temp_ / output).string()};
    words.insert(words.end(), extra.begin(), extra.end());
    return test::run_program("littlebit-train", words, prefix);
  }

 private:
  TempFolder temp_;
};

void check_same_folder(const fs::path& a, const fs::path& b, bool same_card = true) {
  int files = 0;
  for (const auto& entry : fs::directory_iterator(a)) {
    if (!same_card && entry.path().filename() == "README.md") continue;
    INFO(entry.path());
    CHECK(read_file(entry.path()) == read_file(b / entry.path().filename()));
    ++files;
  }
  CHECK(files >= 2);
}

}  // namespace

TEST_CASE(
    "export: a checkpoint gives the bytes that its run exported; a packed folder its weights") {
  const FinishedRun run;
  Outcome outcome = run.export_to(run.checkpoint(), "both");
  INFO(outcome.err);
  REQUIRE(outcome.code == 0);
  check_same_folder(run / "run/export/packed", run / "both/packed");
  check_same_folder(run / "run/export/dense", run / "both/dense");
  CHECK_THAT(read_file(run / "both/packed/README.md"), Contains("library_name: littlebit") &&
                                                           Contains("tokens.safetensors") &&
                                                           !Contains((run / "teacher").string()));
  write_file(run / "both/packed/README.md", "a card of mine\n");  // stays where it is exported anew
  outcome = run.export_to(run.checkpoint(), "both");
  CHECK_THAT(outcome.err, Contains("it is kept"));
  CHECK(read_file(run / "both/packed/README.md") == "a card of mine\n");
  // One format is the folder itself; a run stands for its newest checkpoint; earlier exports are
  // replaced.
  for (const std::string& source : {run.checkpoint(), (run / "run").string()}) {
    outcome = run.export_to(source, "one", {"export.formats=[packed]"});
    require_done(outcome);
    check_same_folder(run / "run/export/packed", run / "one");
  }
  outcome = run.export_to((run / "one").string(), "dense");
  INFO(outcome.err);
  REQUIRE(outcome.code == 0);
  const SafetensorsFile dense(run / "dense/model.safetensors"),
      trained(run / "run/export/dense/model.safetensors");
  REQUIRE(dense.tensors().size() == trained.tensors().size());
  for (const TensorView& view : trained.tensors()) {
    INFO(view.name);
    REQUIRE(dense.find(view.name) != nullptr);
    const at::Tensor want = map_tensor(view), got = map_tensor(*dense.find(view.name));
    CHECK((got - want).norm().item<float>() <= 0.01f * want.norm().item<float>());  // bf16 scales
  }
  CHECK_THAT(read_file(run / "dense/README.md"), Contains("# teacher by LittleBit, dense"));
  const Json config = read_json_file(run / "dense/config.json");
  CHECK_FALSE(config.contains("quant_func"));
  CHECK_FALSE(config.contains("residual"));
  CHECK(config.at("torch_dtype") == "float32");
  outcome = run.export_to((run / "one").string(), "half", {"export.dense_dtype=bf16"});
  REQUIRE(outcome.code == 0);
  CHECK(SafetensorsFile(run / "half/model.safetensors").tensors()[0].dtype == Dtype::kBF16);
}

TEST_CASE("export: what cannot be done is refused, nothing of others is replaced, no half folder") {
  const FinishedRun run;
  fs::create_directories(run / "mine");
  write_file(run / "mine/notes.txt", "x");
  check_refused(run.export_to(run.checkpoint(), "mine", {"export.formats=[packed]"}), 2, {"mine"});
  check_refused(run.export_to(run.checkpoint(), "teacher", {"export.formats=[packed]"}), 2,
                {"teacher"});
  CHECK(read_file(run / "mine/notes.txt") == "x");
  check_refused(run.export_to(run.checkpoint(), "tokens.safetensors", {"export.formats=[packed]"}),
                5, {"is a file"});
  check_refused(run.export_to(run.checkpoint(), "tokens.safetensors/x"), 5, {"tokens.safetensors"});
  check_refused(run.export_to(run.checkpoint(), "out", {"export.formats=[paked]"}), 2, {"paked"});
  const std::string packed = (run / "run/export/packed").string();
  check_refused(run.export_to(packed, "out", {"export.formats=[packed]"}), 2, {"already packed"});
  check_refused(run.export_to(packed, "run/export/packed"), 2, {"packed"});
  check_refused(run.export_to((run / "none").string(), "out"), 3, {"none"});
  check_refused(test::run_program("littlebit-train", {"export", run.checkpoint(), "--output", ""}),
                2, {"--output", "empty"});
  check_refused(run.export_to((run / "mine").string(), "out"), 3, {"manifest.json"});
  check_refused(run.export_to((run / "teacher").string(), "out"), 3, {"neither"});
  // The teacher is not written over, nor what holds it, nor is anything put into it: as it is no
  // export, and as it is one.
  const auto check_apart = [&](const std::string& source, const std::string& teacher,
                               const std::string& output) {
    check_refused(
        run.export_to(source, output,
                      {"export.formats=[dense]", "model.path=" + (run / teacher).string()}),
        2, {"model.path", "overlap"});
  };
  check_apart(run.checkpoint(), "teacher", "teacher");
  check_apart(run.checkpoint(), "teacher", "teacher/new");
  CHECK_FALSE(fs::exists(run / "teacher/new"));
  const std::string dense = "run/export/dense",
                    weights = read_file(run / dense / "model.safetensors");
  fs::create_directory_symlink(run / dense, run / "link");
  check_apart(run.checkpoint(), dense, dense);
  check_apart(run.checkpoint(), dense, "link");
  check_apart(run.checkpoint(), "link", dense);
  check_apart(run.checkpoint(), dense, "run/export");
  check_apart(packed, dense, dense);
  fs::copy(run / dense, run / "nested", fs::copy_options::recursive);
  fs::copy(packed, run / "nested/packed", fs::copy_options::recursive);
  check_refused(run.export_to((run / "nested/packed").string(), "nested"), 2, {"nested"});
  CHECK(fs::exists(run / "nested/packed/config.json"));
  CHECK(read_file(run / dense / "model.safetensors") == weights);
  // A full disk: 8 blocks of 512 bytes hold no model.
  check_refused(run.export_to(run.checkpoint(), "out", {"export.formats=[dense]"}, "ulimit -f 8;"),
                5, {"model.safetensors"});
  // Away from its run, a checkpoint needs to be told its model, and the right one.
  fs::copy(run.checkpoint(), run / "step-2", fs::copy_options::recursive);
  const std::string alone = (run / "step-2").string();
  check_refused(run.export_to(alone, "out"), 2, {"model.path"});
  fs::create_directories(run / "other");
  test::write_tiny_llama(run / "other", {.seed = 5});
  check_refused(run.export_to(alone, "out", {"model.path=" + (run / "other").string()}), 2,
                {"other"});
  const std::string model = "model.path=" + (run / "teacher").string();
  const Outcome outcome = run.export_to(alone, "alone", {model});
  INFO(outcome.err);
  REQUIRE(outcome.code == 0);
  check_same_folder(run / "run/export/packed", run / "alone", /*same_card=*/false);
  CHECK_THAT(read_file(run / "alone/README.md"),  // what the checkpoint tells
             Contains("bits per weight") && Contains("0.005") && !Contains("training text"));
  // One flipped bit of a latent.
  std::string state = read_file(run / "step-2/state.safetensors");
  state[state.size() / 100 * 5] ^= 1;
  write_file(run / "step-2/state.safetensors", state);
  check_refused(run.export_to(alone, "out", {model}), 3, {"damaged"});
  CHECK_FALSE(fs::exists(run / "out"));
  CHECK_FALSE(fs::exists(run / "out.partial"));
}

// specs section 6: C4 as jsonl.gz, then WikiText-2 as one document, cut in groups of 1000
// documents.
TEST_CASE("the authors' data recipe through a run; packed and dense weights score the same") {
  const TempFolder temp;
  const fs::path teacher = fs::path(test::kSourceDir) / "data" / "wiki-llama-5m";
  Json documents = Json::array();
  std::string jsonl, wiki, joined;
  for (int i = 0; i < 1300; ++i) {
    documents.push_back("Page " + std::to_string(i) + " of the old library tells of ships .\n");
    jsonl += to_json_line({{"text", documents.back()}, {"url", "x"}}) + "\n";
  }
  for (int i = 0; i < 40; ++i) {
    const std::string row =
        i % 4 == 0 ? " \n" : " The town lay by the river in " + std::to_string(1800 + i) + " .\n";
    wiki += row;
    joined += std::string(i ? "\n\n" : "") + (i % 4 == 0 ? "" : row);
  }
  documents.push_back(joined);
  write_file(temp / "c4.jsonl", jsonl);
  REQUIRE(std::system(("gzip " + (temp / "c4.jsonl").string()).c_str()) == 0);
  write_file(temp / "wiki.raw", wiki);
  write_file(temp / "documents.json", to_json_line(documents));
  write_file(temp / "lines.txt", "a line that half a pass leaves in\nanother that it leaves out\n");
  const Outcome outcome = test::run_program(
      "littlebit-train",
      {"model.path=" + teacher.string(),
       "data.train=[{path: \"" + (temp / "c4.jsonl.gz").string() + "\", format: jsonl}, {path: \"" +
           (temp / "wiki.raw").string() + "\", format: wikitext}, {path: \"" +
           (temp / "lines.txt").string() + "\", format: lines, weight: 0.5}]",
       "data.cache_dir=" + (temp / "tokens").string(), "data.blocking=reference",
       "data.sequence_length=64", "quant.bits_per_weight=0.3", "train.steps=1",
       "train.global_batch_size=2", "optim.learning_rate=1e-3",
       "output.dir=" + (temp / "run").string()});
  INFO(outcome.err);
  REQUIRE(outcome.code == 0);
  CHECK_THAT(outcome.err, Contains("tokenising c4.jsonl.gz") && Contains("1,300 documents"));
  CHECK_THAT(outcome.err.substr(outcome.err.rfind("written:")),
             Contains("\n  " + (temp / "tokens").string() + "\n"));

  documents.push_back("a line that half a pass leaves in");
  write_file(temp / "documents.json", to_json_line(documents));
  REQUIRE(test::run_program("littlebit-eval", {"tokenize", "--model", teacher.string(), "--input",
                                               (temp / "documents.json").string(), "--output",
                                               (temp / "ids.json").string()})
              .code == 0);
  const Json ids = read_json_file(temp / "ids.json");
  int64_t blocks = 0, group = 0, tokens = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    tokens += static_cast<int64_t>(ids[i].at("ids_with_special").size());
    group += static_cast<int64_t>(ids[i].at("ids_with_special").size());
    if (i % 1000 == 999 || i + 1 == ids.size()) {
      blocks += group / 64;
      group = 0;
    }
  }
  CHECK(read_json_file(temp / "run/run.json").at("data").at("blocks") == blocks);

  // Scales are those of the packed file on both sides: what differs is the order of fp32 sums.
  const std::string packed = (temp / "run/export/packed").string(),
                    dense = (temp / "dense").string();
  REQUIRE(test::run_program("littlebit-train", {"export", packed, "--output", dense}).code == 0);
  write_file(temp / "text.txt", joined + joined + joined + joined);
  const auto perplexity = [&](const std::string& model) {
    const fs::path results = temp / "results.json";
    const Outcome scored = test::run_program(
        "littlebit-eval", {"--model", model, "--text", (temp / "text.txt").string(), "--seqlen",
                           "128", "--output", results.string()});
    INFO(scored.err);
    REQUIRE(scored.code == 0);
    return read_json_file(results).at("tasks").at("text").at("perplexity").get<double>();
  };
  const double want = perplexity(packed);
  CHECK(want > 1);
  CHECK(perplexity(dense) == Approx(want).epsilon(1e-4));
}

TEST_CASE("export: embedding and head in small whole numbers, and the dbf layout, from a run") {
  TempFolder folder;
  const auto temp = [&](const std::string& name) { return (folder.path() / name).string(); };
  test::write_tiny_llama(temp("teacher"));
  test::write_tiny_ids(temp("tokens.safetensors"), 8, 16);
  const auto train = [&](std::vector<std::string> words) {
    for (const std::string& word :
         {"model.path=" + temp("teacher"),
          "data.train=[{path: \"" + temp("tokens.safetensors") + "\", format: tokens}]",
          std::string("data.sequence_length=16"), std::string("train.steps=1"),
          std::string("optim.learning_rate=5e-3"), "output.dir=" + temp("run")}) {
      words.push_back(word);
    }
    return test::run_program("littlebit-train", words);
  };
  check_refused(train({"export.formats=[dbf]"}), 2, {"dbf", "one path", "quant.residual=false"});
  CHECK_FALSE(fs::exists(temp("run") + "/checkpoints"));
  const Outcome done = train({"quant.bits_per_weight=2", "quant.residual=false",
                              "export.formats=[packed, dense, dbf]", "export.embeddings=int8",
                              "export.head=int4", "export.group_size=32"});
  require_done(done);
  CHECK_THAT(done.err, Contains("embeddings: int8 in groups of 32, 8.50 bits a number"));
  CHECK_THAT(done.err, Contains("head: int4 in groups of 32, 4.50 bits a number"));
  const Json bytes = read_json_file(temp("run/run.json")).at("summary").at("bytes");
  CHECK(bytes.at("packed").at("embeddings") == 48 * (32 + 2));
  CHECK(bytes.at("packed").at("head") == 48 * (16 + 2));
  CHECK(bytes.at("grouped").at("head").at("bits") == 4);
  CHECK(bytes.at("grouped").at("head").at("stored_bits") == 4.5);
  const double error = bytes.at("grouped").at("head").at("relative_error").get<double>();
  CHECK((error > 0.02 && error < 0.12));
  CHECK_THAT(read_file(temp("run/report.html")), Contains("head: 4-bit numbers in groups of 32"));

  // The packed folder runs, as does its dense export, which has the same entries.
  require_done(
      test::run_program("littlebit-train", {"export", temp("run/export/packed"), "--output",
                                            temp("both"), "export.formats=[dense, dbf]"}));
  const auto logits = [&](const std::string& model) {
    require_done(test::run_program(
        "littlebit-eval", {"forward", "--model", model, "--input", temp("tokens.safetensors"),
                           "--output", temp("out.safetensors")}));
    return map_tensor(*SafetensorsFile(temp("out.safetensors")).find("logits")).clone();
  };
  const at::Tensor got = logits(temp("run/export/packed")), want = logits(temp("both/dense"));
  CHECK(((got - want).norm() / want.norm()).item<double>() < 1e-5);
  // The checkpoint's signs are the packed folder's.
  const SafetensorsFile a(temp("both/dbf/model.safetensors")),
      b(temp("run/export/dbf/model.safetensors"));
  for (const TensorView& view : a.tensors()) {
    if (view.dtype != Dtype::kU8) continue;
    INFO(view.name);
    CHECK(at::equal(map_tensor(view), map_tensor(*b.find(view.name))));
  }
  // It can start another run, which takes embedding and head from its teacher.
  fs::rename(temp("run"), temp("first"));
  require_done(train({"quant.init=file", "quant.init_file=" + temp("first/export/packed")}));
}
