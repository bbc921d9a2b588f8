// What is taken for a checkpoint and what is not: names, the file `best`, contents one by one.
#include <ATen/core/Tensor.h>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "littlebit/checkpoint/checkpoint.h"
#include "littlebit/checkpoint/save.h"
#include "littlebit/core/error.h"
#include "littlebit/core/fault_hook.h"
#include "littlebit/core/hash.h"
#include "littlebit/core/write_file.h"
#include "littlebit/io/json.h"
#include "littlebit/io/safetensors.h"
#include "littlebit/io/safetensors_writer.h"
#include "support/tiny_model.h"
#include "support/tiny_training.h"

using namespace littlebit;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

QuantOptions of_rank_8() {
  QuantOptions quant;
  quant.bits_per_weight = 0.1;
  quant.min_rank = 8;
  return quant;
}

// One checkpoint, and a run that may load it.
struct Saved {
  TempFolder temp;
  std::unique_ptr<test::TinyTraining> run;
  fs::path folder;

  Saved() {
    test::write_tiny_llama(temp / "teacher", {});
    run = std::make_unique<test::TinyTraining>(temp / "teacher", of_rank_8());
    folder = save(3);
  }

  fs::path root() const { return temp / "checkpoints"; }
  fs::path save(int64_t step) { return save_checkpoint(root(), *run->optimizer, {step, 0}, {}); }
  Json manifest() const { return read_json_file(folder / "manifest.json"); }
  void write_manifest(const Json& text) const {
    write_file(folder / "manifest.json", to_json_pretty(text));
  }
  Checkpoint read() const { return read_checkpoint(folder); }

  // Writes the state anew; `change` gets each tensor's name, type and bytes and says whether it
  // stays. The manifest keeps its hashes.
  void rewrite(const std::function<bool(const std::string&, Dtype&, std::string&)>& change) const {
    std::vector<std::tuple<std::string, Dtype, std::vector<int64_t>, std::string>> kept;
    {
      const SafetensorsFile file(folder / "state.safetensors");
      for (const TensorView& view : file.tensors()) {
        std::string bytes(reinterpret_cast<const char*>(view.data.data()), view.data.size());
        Dtype dtype = view.dtype;
        if (change(view.name, dtype, bytes)) kept.emplace_back(view.name, dtype, view.shape, bytes);
      }
    }
    SafetensorsWriter writer(folder / "state.safetensors");
    for (const auto& [name, dtype, shape, bytes] : kept) writer.declare(name, dtype, shape);
    for (const auto& [name, dtype, shape, bytes] : kept) {
      writer.write(std::as_bytes(std::span(bytes)));
    }
    writer.commit();
  }

  // A byte of that tensor becomes another one.
  void damage(const std::string& tensor) const {
    rewrite([&](const std::string& name, Dtype&, std::string& bytes) {
      if (name == tensor) bytes[1] = static_cast<char>(bytes[1] ^ 1);
      return true;
    });
  }

  // Weights without an optimizer, as an export reads them.
  void load_weights_only() const { load_weights(open_state(read()), *run->student); }

  // The name of a latent, or of its moment under `prefix`.
  std::string a_latent(const std::string& prefix = "") const {
    return prefix + run->student->groups().at(1).layout().latents.at(0).name;
  }
};

}  // namespace

TEST_CASE("weights are read without their moments, and every other tensor needs its hash") {
  const Saved saved;
  const std::string latent = saved.a_latent();
  saved.load_weights_only();
  SECTION("a latent is damaged") {
    saved.damage(latent);
    CHECK_THROWS_WITH(saved.load_weights_only(), Contains("tensor " + latent + " of"));
    CHECK_THROWS_WITH(load_checkpoint(saved.read(), *saved.run->optimizer),
                      Contains("tensor " + latent + " of") && Contains("is damaged"));
  }
  for (const char* prefix : {"exp_avg/", "exp_avg_sq/"}) {
    SECTION(std::string("a moment is damaged: ") + prefix) {
      saved.damage(saved.a_latent(prefix));
      saved.load_weights_only();
      CHECK_THROWS_WITH(load_checkpoint(saved.read(), *saved.run->optimizer),
                        Contains("tensor " + saved.a_latent(prefix) + " of"));
    }
  }
  SECTION("the manifest does not know a tensor") {
    Json manifest = saved.manifest();
    Json& entries = manifest["tensors"];
    entries.erase(std::find_if(entries.begin(), entries.end(),
                               [&](const Json& entry) { return entry["name"] == latent; }));
    saved.write_manifest(manifest);
    CHECK_THROWS_WITH(saved.load_weights_only(), Contains("has no tensor " + latent));
    CHECK_THROWS_WITH(load_checkpoint(saved.read(), *saved.run->optimizer),
                      Contains("has no tensor " + latent));
  }
  SECTION("the manifest knows no tensor, or a list is none") {
    for (const Json& none : {Json(), Json::array(), Json(7)}) {
      Json manifest = saved.manifest();
      if (none.is_null()) {
        manifest.erase("tensors");
      } else {
        manifest["tensors"] = none;
      }
      saved.write_manifest(manifest);
      CHECK_THROWS_AS(saved.load_weights_only(), InputError);
      CHECK_THROWS_AS(load_checkpoint(saved.read(), *saved.run->optimizer), InputError);
    }
  }
  SECTION("the state does not have a tensor of the manifest") {
    saved.rewrite([&](const std::string& name, Dtype&, std::string&) { return name != latent; });
    CHECK_THROWS_WITH(saved.load_weights_only(), Contains("has no tensor " + latent));
    CHECK_THROWS_WITH(load_checkpoint(saved.read(), *saved.run->optimizer),
                      Contains("has no tensor " + latent));
  }
  SECTION("a tensor of the same shape and bytes has another type") {
    saved.rewrite([&](const std::string& name, Dtype& dtype, std::string&) {
      if (name == latent) dtype = Dtype::kI32;
      return true;
    });
    CHECK_THROWS_WITH(load_checkpoint(saved.read(), *saved.run->optimizer),
                      Contains("tensor " + latent + " in") && Contains("is I32"));
  }
  SECTION("a hash is not there") {
    Json manifest = saved.manifest();
    manifest["tensors"][0]["parts"][0].erase("hash");
    saved.write_manifest(manifest);
    CHECK_THROWS_WITH(load_checkpoint(saved.read(), *saved.run->optimizer),
                      Contains("list of tensors cannot be read"));
  }
}

TEST_CASE("the manifest's tensors are the file's, in its order, with shapes, types and hashes") {
  const Saved saved;
  const SafetensorsFile file(saved.folder / "state.safetensors");
  const Json entries = saved.manifest().at("tensors");
  REQUIRE(entries.size() == file.tensors().size());
  for (size_t i = 0; i < entries.size(); ++i) {
    const TensorView& view = file.tensors()[i];
    const Json part = {{"file", "state.safetensors"},
                       {"begin", 0},
                       {"count", view.numel()},
                       {"hash", content_hash(view.data)}};
    CHECK(entries[i] == Json{{"name", view.name},
                             {"dtype", "F32"},
                             {"shape", view.shape},
                             {"parts", Json::array({part})}});
  }
  CHECK_FALSE(saved.manifest().contains("changes"));
}

TEST_CASE("a checkpoint may be of step 0 and of no tokens, but not of negative ones") {
  const Saved saved;
  const auto with = [&](const char* key, int64_t value) {
    Json manifest = saved.manifest();
    manifest[key] = value;
    saved.write_manifest(manifest);
  };
  for (const char* key : {"step", "tokens"}) {
    with(key, 0);
    saved.read();
    with(key, -1);
    CHECK_THROWS_WITH(saved.read(), Contains("impossible position"));
    with(key, 0);
  }
  CHECK_THROWS_WITH(read_checkpoint(saved.temp / "none"), Contains("no training checkpoint in"));
}

TEST_CASE("only step-N is the name of a checkpoint") {
  const TempFolder root;
  CHECK_FALSE(has_any_checkpoint(root.path()));
  CHECK_FALSE(has_any_checkpoint(root / "none"));
  for (const char* name : {"step-", "step-x", "step-7x", "step--7", "step- 7", "step7", "steps-7",
                           "step-99999999999999999999", "my step-7", "step-7.partial"}) {
    INFO(name);
    fs::create_directories(root / name);
    CHECK_FALSE(has_any_checkpoint(root.path()));
  }
  for (const char* name : {"step-0", "step-7", "step-9223372036854775807"}) {
    INFO(name);
    fs::create_directories(root / name);
    CHECK(has_any_checkpoint(root.path()));
    fs::remove(root / name);
  }
  fs::create_directories(root / "step-0");
  CHECK_FALSE(has_checkpoint(root.path(), 0));  // no manifest
  write_file(root / "step-0" / "manifest.json", "{}");
  CHECK(has_checkpoint(root.path(), 0));
  CHECK_FALSE(has_checkpoint(root.path(), 1));
}

TEST_CASE("what is in a folder says whose it is") {
  Saved saved;
  const TempFolder temp;
  const auto of = [&](const char* file, const std::string& text) {
    const fs::path folder = temp / "step-1";
    fs::remove_all(folder);
    fs::create_directories(folder);
    if (*file != '\0') write_file(folder / file, text);
    return folder;
  };
  const std::string ours = "{\n  \"format\": \"littlebit-checkpoint\"", moments = "{\"exp_avg/a\":";
  CHECK(is_own_checkpoint(of("manifest.json", ours)));
  CHECK(is_own_checkpoint(of("manifest.json", "{\"format\":\"littlebit-checkpoint\"")));
  CHECK(is_own_checkpoint(of("state.safetensors", moments)));
  CHECK(is_own_checkpoint(of("state-00002-of-00004.safetensors", moments)));
  CHECK_FALSE(is_own_checkpoint(of("model.safetensors", moments)));
  CHECK_FALSE(is_own_checkpoint(of("manifest.json", "{\"format\": \"other\"}")));
  CHECK_FALSE(is_own_checkpoint(of("manifest.json", moments)));
  CHECK_FALSE(is_own_checkpoint(of("state.safetensors", ours)));
  CHECK_FALSE(is_own_checkpoint(of("other.json", ours)));
  CHECK_FALSE(is_own_checkpoint(of("", "")));
  CHECK_FALSE(is_own_checkpoint(temp / "none"));
  // A large file of somebody else's is not read from end to end: a MiB of it says enough.
  constexpr size_t kMiB = 1 << 20;
  CHECK(is_own_checkpoint(of("state.safetensors", std::string(kMiB - 9, ' ') + "\"exp_avg/")));
  CHECK_FALSE(
      is_own_checkpoint(of("state.safetensors", std::string(kMiB - 8, ' ') + "\"exp_avg/")));
  // An empty folder's name, and that of a checkpoint of ours, may be had.
  fs::create_directories(saved.root() / "step-8");
  CHECK(saved.save(8) == saved.root() / "step-8");
  CHECK(saved.save(8) == saved.root() / "step-8");
  CHECK(has_checkpoint(saved.root(), 8));
}

TEST_CASE("best is a line of one name; whatever else is in its place stops a run") {
  Saved saved;
  const fs::path best = saved.root() / "best";
  const auto clean = [&] { clean_checkpoints(saved.root(), [](int64_t) { return true; }); };
  clean();  // none
  for (const char* text : {"step-3\n", "step-4\n", "step-0\n"}) {
    INFO(text);
    write_file(best, text);
    clean();
    CHECK(best_checkpoint(saved.root()) ==
          (std::string(text) == "step-3\n" ? std::optional<int64_t>(3) : std::nullopt));
  }
  for (const char* text : {"", "\n", "step-3", "step-3\n\n", "step-\n", "step-3 \n", "notes\n"}) {
    INFO(text);
    write_file(best, text);
    CHECK_THROWS_WITH(clean(), Contains("was not made by this program"));
    CHECK_FALSE(best_checkpoint(saved.root()));
  }
  fs::remove(best);
  fs::create_symlink("nowhere", best);
  CHECK_THROWS_AS(clean(), OutputError);
  fs::remove(best);
  fs::create_directories(best);
  CHECK_THROWS_AS(clean(), OutputError);
  CHECK_FALSE(best_checkpoint(saved.root()));
}

TEST_CASE("the mark of the best goes with a later step's checkpoint, and stays with an earlier") {
  Saved saved;
  for (const int64_t step : {4, 5}) saved.save(step);
  mark_best(saved.root(), 5);
  discard_checkpoints_after(saved.root(), 5);
  CHECK(best_checkpoint(saved.root()) == 5);
  discard_checkpoints_after(saved.root(), 4);
  CHECK_FALSE(fs::exists(saved.root() / "best"));
  CHECK_FALSE(has_checkpoint(saved.root(), 5));
  mark_best(saved.root(), 3);
  discard_checkpoints_after(saved.root(), 4);
  CHECK(best_checkpoint(saved.root()) == 3);
  CHECK(has_checkpoint(saved.root(), 4));
}

TEST_CASE("a checkpoint that cannot be removed is passed over") {
  Saved saved;
  for (const int64_t step : {4, 5}) saved.save(step);
  set_fault_hook([](std::string_view operation, const fs::path&) {
    return operation == "rename" ? EACCES : 0;
  });
  CHECK_NOTHROW(prune_checkpoints(saved.root(), 1));
  CHECK_NOTHROW(discard_checkpoints_after(saved.root(), 4));
  set_fault_hook(nullptr);
  CHECK(list_checkpoints(saved.root()).size() == 3);
}
