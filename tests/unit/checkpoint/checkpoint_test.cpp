// Checkpoints: all of the state comes back, damage and mismatches are named, half-written ones do
// not exist.
#include "littlebit/checkpoint/checkpoint.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "littlebit/checkpoint/save.h"
#include "littlebit/core/error.h"
#include "littlebit/core/fault_hook.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/write_file.h"
#include "littlebit/distill/step.h"
#include "support/tiny_model.h"
#include "support/tiny_training.h"

using namespace littlebit;
namespace fs = std::filesystem;

namespace {

// A tiny student after three steps.
struct Trained : test::TinyTraining {
  explicit Trained(int64_t rank = 8, int steps = 3)
      : TinyTraining(teacher_folder(), of_rank(rank)) {
    DistillationStep step(teacher.decoder, *student, {}, Recompute::kFull);
    at::manual_seed(5);
    for (int i = 0; i < steps; ++i) {
      step.accumulate(at::randint(48, {2, 12}, at::TensorOptions().dtype(at::kLong)), 2, gradients);
      optimizer->step(gradients, i + 1, 1e-2);
    }
  }

  static const fs::path& teacher_folder() {
    static const TempFolder folder;
    if (fs::is_empty(folder.path())) test::write_tiny_llama(folder.path(), {.biases = true});
    return folder.path();
  }
  static QuantOptions of_rank(int64_t rank) {
    QuantOptions quant;
    quant.bits_per_weight = 0.1;
    quant.min_rank = rank;
    return quant;
  }
};

bool same_state(Trained& a, Trained& b) {
  bool same = true;
  for (size_t g = 0; g < a.optimizer->states().size(); ++g) {
    const GroupState &x = a.optimizer->states()[g], &y = b.optimizer->states()[g];
    same = same && at::equal(x.latents(), y.latents()) && at::equal(x.exp_avg(), y.exp_avg()) &&
           at::equal(x.exp_avg_sq(), y.exp_avg_sq()) &&
           at::equal(x.vector_exp_avg(), y.vector_exp_avg()) &&
           at::equal(x.vector_exp_avg_sq(), y.vector_exp_avg_sq()) &&
           at::equal(a.student->groups()[g].vectors(), b.student->groups()[g].vectors()) &&
           at::equal(a.student->groups()[g].bits(), b.student->groups()[g].bits());
  }
  return same;
}

void flip_byte(const fs::path& file, int64_t from_end) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekg(-from_end, std::ios::end);
  const char byte = static_cast<char>(stream.get() ^ 0x40);
  stream.seekp(-from_end, std::ios::end);
  stream.put(byte);
}

}  // namespace

TEST_CASE("all of the state comes back, byte for byte, and saving again gives the same files") {
  Trained trained, fresh(8, 0);
  const TempFolder root;
  REQUIRE_FALSE(same_state(trained, fresh));
  const fs::path saved =
      save_checkpoint(root / "c", *trained.optimizer, {.step = 3, .tokens = 72, .recent_kl = 0.1},
                      {{"a", "1"}, {"b", "x y"}});
  CHECK(saved == root / "c" / "step-3");
  const Checkpoint checkpoint = read_checkpoint(saved);
  CHECK(checkpoint.position.step == 3);
  CHECK(checkpoint.position.tokens == 72);
  CHECK(checkpoint.position.recent_kl == 0.1);
  CHECK(checkpoint.fingerprint == RunFingerprint{{"a", "1"}, {"b", "x y"}});
  load_checkpoint(checkpoint, *fresh.optimizer);
  CHECK(same_state(trained, fresh));
  const fs::path again =
      save_checkpoint(root / "d", *fresh.optimizer, checkpoint.position, checkpoint.fingerprint);
  for (const char* name : {"state.safetensors", "manifest.json"}) {
    CHECK(read_file(saved / name) == read_file(again / name));
  }
}

TEST_CASE(
    "checkpoints are listed newest first and pruned; partial and foreign folders do not exist") {
  Trained trained(8, 0);
  const TempFolder root;
  for (const int64_t step : {2, 10, 9})
    save_checkpoint(root.path(), *trained.optimizer, {.step = step}, {});
  fs::create_directories(root / "step-99");
  fs::create_directories(root / "step-77.partial");
  fs::create_directories(root / "notes");
  const std::vector<Checkpoint> found = list_checkpoints(root.path());
  REQUIRE(found.size() == 3);
  CHECK(found[0].position.step == 10);
  CHECK(found[2].position.step == 2);
  prune_checkpoints(root.path(), 0);
  CHECK(list_checkpoints(root.path()).size() == 3);
  prune_checkpoints(root.path(), 1);
  REQUIRE(list_checkpoints(root.path()).size() == 1);
  CHECK(list_checkpoints(root.path())[0].position.step == 10);
  CHECK(fs::exists(root / "notes"));
  CHECK(list_checkpoints(root / "nowhere").empty());
}

TEST_CASE("a run that goes on from a step removes later checkpoints and unfinished ones") {
  Trained trained(8, 0);
  const TempFolder root;
  for (const int64_t step : {2, 4, 6})
    save_checkpoint(root.path(), *trained.optimizer, {.step = step}, {});
  fs::rename(root / "step-4", root / "step-4000");  // a person's copy, still of step 4
  fs::create_directories(root / "step-5");          // of no manifest: its name counts
  fs::create_directories(root / "step-7.partial");
  fs::create_directories(root / "notes.partial");
  discard_checkpoints_after(root.path(), 4);
  CHECK(has_checkpoint(root.path(), 2));
  CHECK(read_checkpoint(root / "step-4000").position.step == 4);
  for (const char* gone : {"step-5", "step-6", "step-7.partial"})
    CHECK_FALSE(fs::exists(root / gone));
  CHECK(fs::exists(root / "notes.partial"));
}

TEST_CASE("folders of others are neither replaced nor removed, whatever their name") {
  Trained trained(8, 0);
  const TempFolder root;
  const auto put = [&](const fs::path& file) {
    fs::create_directories(file.parent_path());
    write_file(file, "precious");
  };
  put(root / "step-5" / "thesis.txt");
  put(root / "step-7" / "state.safetensors");
  put(root / "step-8.partial" / "thesis.txt");
  for (const int64_t step : {4, 6}) save_checkpoint(root.path(), *trained.optimizer, {step}, {});
  for (const int64_t step : {5, 7, 8}) {
    CHECK_THROWS_AS(save_checkpoint(root.path(), *trained.optimizer, {step}, {}), OutputError);
    CHECK_THROWS_AS(clean_checkpoints(root.path(), [&](int64_t n) { return n == step; }),
                    OutputError);
  }
  clean_checkpoints(root.path(), [](int64_t step) { return step == 6 || step == 9; });
  // Ours though damaged: cut in its state, without its manifest.
  fs::resize_file(root / "step-6" / "state.safetensors", 20000);
  fs::remove(root / "step-6" / "manifest.json");
  CHECK(is_own_checkpoint(root / "step-6"));
  CHECK(is_own_checkpoint(root / "step-4"));
  CHECK_FALSE(is_own_checkpoint(root / "step-7"));
  discard_checkpoints_after(root.path(), 3);
  CHECK_FALSE(fs::exists(root / "step-4"));
  CHECK_FALSE(fs::exists(root / "step-6"));
  for (const char* name :
       {"step-5/thesis.txt", "step-7/state.safetensors", "step-8.partial/thesis.txt"}) {
    CHECK(read_file(root / name) == "precious");
  }
  write_file(root / "best", "my best ideas");
  CHECK_THROWS_AS(clean_checkpoints(root.path(), [](int64_t) { return false; }), OutputError);
}

TEST_CASE("a checkpoint that goes loses its name first: a reader never takes a part for it") {
  Trained trained(8, 0);
  const TempFolder root;
  for (const int64_t step : {1, 2}) save_checkpoint(root.path(), *trained.optimizer, {step}, {});
  std::vector<std::string> seen;
  set_fault_hook([&](std::string_view operation, const fs::path& path) {
    if (operation == "rename") seen.push_back(path.lexically_relative(root.path()).string());
    if (operation == "fsync" && path == root.path()) {
      // Out of its name, and whole still: a kill here leaves nothing that is taken for step 1.
      CHECK_FALSE(has_checkpoint(root.path(), 1));
      CHECK(fs::exists(root / "step-1.partial/new/manifest.json"));
    }
    return 0;
  });
  prune_checkpoints(root.path(), 1);
  set_fault_hook(nullptr);
  CHECK(seen == std::vector<std::string>{"step-1.partial/new"});
  CHECK(list_checkpoints(root.path()).size() == 1);
  CHECK_FALSE(fs::exists(root / "step-1.partial"));
}

TEST_CASE("the folder that newly holds the checkpoints is flushed too; changes are kept") {
  Trained trained(8, 0);
  const TempFolder root;
  bool flushed = false;
  set_fault_hook([&](std::string_view operation, const fs::path& path) {
    flushed = flushed || (operation == "fsync" && path == root.path());
    return 0;
  });
  save_checkpoint(root / "checkpoints", *trained.optimizer, {.step = 3}, {{"a", "2"}},
                  {{.step = 2, .key = "a", .was = "1", .is = "2"}});
  set_fault_hook(nullptr);
  CHECK(flushed);
  const Checkpoint read = read_checkpoint(root / "checkpoints" / "step-3");
  REQUIRE(read.changes.size() == 1);
  CHECK(read.changes[0].step == 2);
  CHECK(read.changes[0].was + read.changes[0].key + read.changes[0].is == "1a2");
}

TEST_CASE("a state that is not finite is not saved; older checkpoints stay") {
  Trained trained(8, 0);
  const TempFolder root;
  save_checkpoint(root.path(), *trained.optimizer, {.step = 1}, {});
  for (const double bad : {std::nan(""), HUGE_VAL}) {
    at::Tensor latents = trained.optimizer->states()[1].latents();
    const at::Tensor before = latents.clone();
    latents.view({-1})[5].fill_(bad);
    CHECK_THROWS_AS(save_checkpoint(root.path(), *trained.optimizer, {.step = 2}, {}),
                    NumericsError);
    latents.copy_(before);
  }
  CHECK_FALSE(fs::exists(root / "step-2"));
  CHECK_FALSE(fs::exists(root / "step-2.partial"));
  CHECK(has_checkpoint(root.path(), 1));
}

TEST_CASE("the best checkpoint is kept, until it is another one") {
  Trained trained(8, 0);
  const TempFolder root;
  for (const int64_t step : {2, 4, 6, 8})
    save_checkpoint(root.path(), *trained.optimizer, {.step = step}, {});
  CHECK_FALSE(best_checkpoint(root.path()));
  mark_best(root.path(), 4);
  CHECK(best_checkpoint(root.path()) == 4);
  CHECK(read_file(root / "best") == "step-4\n");
  prune_checkpoints(root.path(), 1);
  CHECK(has_checkpoint(root.path(), 4));
  CHECK_FALSE(has_checkpoint(root.path(), 2));
  CHECK_FALSE(has_checkpoint(root.path(), 6));
  mark_best(root.path(), 8);
  prune_checkpoints(root.path(), 1);
  CHECK_FALSE(has_checkpoint(root.path(), 4));
  mark_best(root.path(), 4);
  CHECK_FALSE(best_checkpoint(root.path()));  // its folder is gone
  write_file(root / "best", std::string(1000, 'x'));
  CHECK_FALSE(best_checkpoint(root.path()));
}

TEST_CASE("damage, other ranks and foreign manifests are refused and nothing is changed") {
  Trained trained, fresh(8, 0), other(16, 0);
  const TempFolder root;
  const fs::path saved = save_checkpoint(root.path(), *trained.optimizer, {.step = 3}, {});
  CHECK_THROWS_AS(load_checkpoint(read_checkpoint(saved), *other.optimizer), InputError);

  flip_byte(saved / "state.safetensors", 9);
  Trained untouched(8, 0);
  CHECK_THROWS_AS(load_checkpoint(read_checkpoint(saved), *fresh.optimizer), InputError);
  CHECK(same_state(fresh, untouched));

  CHECK_THROWS_AS(read_checkpoint(root / "step-4"), InputError);
  fs::create_directories(root / "step-4");
  for (const char* text :
       {"", "[]", "{}", "{\"format\": \"littlebit-checkpoint\"}",
        "{\"format\": \"littlebit-checkpoint\", \"version\": 1, \"step\": 1, \"tokens\": 1, "
        "\"trajectory\": {}, \"tensors\": []}",
        "{\"format\": \"littlebit-checkpoint\", \"version\": 2, \"step\": -1, \"tokens\": 1, "
        "\"phase\": {\"name\": \"a\", \"begin\": 0}, \"trajectory\": {}, \"tensors\": []}",
        "{\"format\": \"littlebit-checkpoint\", \"version\": 2, \"step\": 1, \"tokens\": 1, "
        "\"phase\": {\"name\": \"a\", \"begin\": 2}, \"trajectory\": {}, \"tensors\": []}",
        "{\"format\": \"littlebit-checkpoint\", \"version\": 2, \"step\": 1, \"tokens\": 1, "
        "\"phase\": 3, \"trajectory\": {}, \"tensors\": []}",
        "{\"format\": \"littlebit-checkpoint\", \"version\": 2, \"step\": 1, \"tokens\": 1, "
        "\"phase\": {\"name\": \"a\", \"begin\": 0}, \"trajectory\": [3], \"tensors\": []}"}) {
    INFO(text);
    write_file(root / "step-4" / "manifest.json", text);
    CHECK_THROWS_AS(read_checkpoint(root / "step-4"), InputError);
  }
}

TEST_CASE("a full disk while saving leaves the older checkpoints and no half-written one") {
  Trained trained(8, 0);
  const TempFolder root;
  save_checkpoint(root.path(), *trained.optimizer, {.step = 1}, {});
  int calls = 0;
  set_fault_hook([&](std::string_view, const fs::path&) { return ++calls, 0; });
  save_checkpoint(root / "elsewhere", *trained.optimizer, {.step = 2}, {});
  const int total = calls;  // writes, flushes and renames of one save
  REQUIRE(total > 20);
  std::vector<int> places = {0, 1, 2, total / 2};
  for (int i = 1; i <= 12; ++i) places.push_back(total - i);
  for (const int fail_at : places) {
    INFO("call " << fail_at << " of " << total);
    calls = 0;
    set_fault_hook(
        [&](std::string_view, const fs::path&) { return calls++ == fail_at ? ENOSPC : 0; });
    try {
      save_checkpoint(root.path(), *trained.optimizer, {.step = 2}, {});
    } catch (const OutputError&) {
    }
    set_fault_hook(nullptr);
    // Published whole or not at all, and what was there before is there still.
    const std::vector<Checkpoint> found = list_checkpoints(root.path());
    REQUIRE(found.size() >= 1);
    CHECK(found.back().position.step == 1);
    for (const Checkpoint& checkpoint : found) load_checkpoint(checkpoint, *trained.optimizer);
  }
  save_checkpoint(root.path(), *trained.optimizer, {.step = 2}, {});
  CHECK(list_checkpoints(root.path()).size() == 2);
}
