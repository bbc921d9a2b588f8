// Checkpoints that a thread writes while the state changes, and those that the disk has no room
// for.
#include "littlebit/checkpoint/save.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <set>

#include "littlebit/core/error.h"
#include "littlebit/core/fault_hook.h"
#include "littlebit/core/read_file.h"
#include "support/tiny_model.h"
#include "support/tiny_training.h"

using namespace littlebit;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

struct Trained : test::TinyTraining {
  Trained() : TinyTraining(teacher_folder(), QuantOptions{}) {
    const c10::NoGradGuard no_grad;
    double value = 0.25;
    for (const GroupState& state : optimizer->states()) {
      for (const at::Tensor& tensor : {state.latents(), state.exp_avg(), state.exp_avg_sq()}) {
        tensor.copy_(at::arange(tensor.numel()).mul(value += 0.5));
      }
    }
  }
  void spoil(double value) {
    const c10::NoGradGuard no_grad;
    for (const GroupState& state : optimizer->states()) {
      for (const at::Tensor& tensor :
           {state.latents(), state.exp_avg(), state.exp_avg_sq(), state.vector_exp_avg()}) {
        tensor.fill_(value);
      }
      state.group().vectors().fill_(value);
    }
  }
  static const fs::path& teacher_folder() {
    static const TempFolder folder;
    if (fs::is_empty(folder.path())) test::write_tiny_llama(folder.path());
    return folder.path();
  }
};

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

struct Hook {
  explicit Hook(FaultHook hook) { set_fault_hook(std::move(hook)); }
  ~Hook() { set_fault_hook(nullptr); }
};

}  // namespace

TEST_CASE("a checkpoint in the background holds the state as it was when it was begun") {
  Trained trained;
  const TempFolder root;
  const TrainingPosition position{.step = 3, .tokens = 72};
  const fs::path plain = save_checkpoint(root / "plain", *trained.optimizer, position, {});
  CheckpointSave save(root / "background", *trained.optimizer, position, {}, {}, true);
  trained.spoil(7);
  CHECK_FALSE(fs::exists(root / "background" / "step-3"));
  const fs::path folder = save.finish();
  CHECK(save.is_written());
  CHECK(names_in(root / "background") == std::set<std::string>{"step-3"});
  for (const char* name : {"state.safetensors", "manifest.json"}) {
    CHECK(read_file(folder / name) == read_file(plain / name));
  }
  // What was said of its size: the numbers, and a header.
  const auto size = static_cast<int64_t>(fs::file_size(folder / "state.safetensors"));
  CHECK(bytes_of_copy(*trained.optimizer) == checkpoint_bytes(*trained.optimizer));
  CHECK(size > checkpoint_bytes(*trained.optimizer));
  CHECK(size < checkpoint_bytes(*trained.optimizer) + 64 * 1024);
}

TEST_CASE("a checkpoint that is not finished leaves nothing, and its failure is told at the end") {
  Trained trained;
  const TempFolder root;
  const fs::path older = save_checkpoint(root.path(), *trained.optimizer, {.step = 1}, {});
  const std::string state = read_file(older / "state.safetensors");
  { const CheckpointSave save(root.path(), *trained.optimizer, {.step = 2}, {}, {}, true); }
  CHECK(names_in(root.path()) == std::set<std::string>{"step-1"});

  const auto finish = [&](int64_t step) {
    CheckpointSave save(root.path(), *trained.optimizer, {.step = step}, {}, {}, true);
    save.finish();
  };
  {
    const Hook full([](std::string_view operation, const fs::path& path) {
      const bool is_state = path.string().find("step-3.partial") != std::string::npos;
      return operation == "write" && is_state ? ENOSPC : 0;
    });
    CHECK_THROWS_WITH(finish(3), Contains("No space left on device"));
  }
  trained.spoil(std::nan(""));
  CHECK_THROWS_AS(finish(4), NumericsError);
  CHECK(names_in(root.path()) == std::set<std::string>{"step-1"});
  CHECK(read_file(older / "state.safetensors") == state);
}

TEST_CASE("a checkpoint that cannot fit is refused with both numbers before it is begun") {
  const Trained trained;
  const TempFolder root;
  const Hook full([](std::string_view operation, const fs::path&) {
    return operation == "space" ? ENOSPC : 0;
  });
  CHECK_THROWS_WITH(save_checkpoint(root / "c", *trained.optimizer, {.step = 1}, {}),
                    Contains("the checkpoint of step 1") && Contains("it needs ") &&
                        Contains("where 0 B are free"));
  CHECK(names_in(root / "c").empty());
}
