// A disk that is full from some write on, for every kind of write a run makes: the run ends in exit
// code 5, leaves nothing half-written, and the same command with --resume auto then comes to the
// same bytes as a run that was never disturbed.
#include <catch2/catch.hpp>
#include <cerrno>
#include <map>

#include "integration/wrong_input.h"
#include "littlebit/config/option_tree.h"
#include "littlebit/train/run.h"

namespace littlebit::test {
namespace {

namespace fs = std::filesystem;

// A run of two steps in the shop, with every kind of file that a run writes.
ExitCode run_here(const Workshop& shop, const std::string& output, Resume resume) {
  RunOptions options;
  OptionTree tree;
  options.declare(tree);
  const auto path = [&](const std::string& name) { return (shop / name).string(); };
  for (const std::string& word :
       {"model.path=" + path("model"), "data.train=" + path("text.txt"),
        std::string("data.sequence_length=16"), std::string("quant.bits_per_weight=6"),
        "quant.cache_dir=" + path(output + "-factors"), std::string("train.steps=2"),
        std::string("train.micro_batch_size=2"), std::string("train.threads=1"),
        std::string("checkpoint.every=1"), std::string("export.formats=[packed,dense]"),
        "output.dir=" + path(output)}) {
    tree.set(word);
  }
  options.check(tree);
  tree.finish();
  return run_training(options, tree, {.resume = resume});
}

// "write .../checkpoints/step-#.partial/state.safetensors.partial": the kind of one operation.
std::string kind_of(std::string_view operation, const fs::path& path, const fs::path& root) {
  std::string name = std::string(operation) + " " + path.lexically_relative(root).string();
  const size_t hash = name.find_first_of("0123456789abcdef", name.find("tokens-") + 7);
  if (name.find("tokens-") != std::string::npos) name.erase(hash, 32);
  for (char& c : name) c = c >= '0' && c <= '9' ? '#' : c;
  return name;
}

// Removed at the end of a scope, come what may.
struct Hook {
  explicit Hook(FaultHook hook) { set_fault_hook(std::move(hook)); }
  ~Hook() { set_fault_hook(nullptr); }
};

const std::vector<std::string> kResults = {
    "checkpoints/step-2/state.safetensors", "checkpoints/step-2/manifest.json",
    "export/packed/model.safetensors", "export/dense/model.safetensors"};

}  // namespace

TEST_CASE("a disk that is full from any kind of write on") {
  const Workshop shop;
  std::map<std::string, int> first;  // kind -> number of its first operation
  int operations = 0;
  {
    const Hook counting([&](std::string_view operation, const fs::path& path) {
      first.emplace(kind_of(operation, path, shop / "good"), operations++);
      return 0;
    });
    REQUIRE(run_here(shop, "good", Resume::kNever) == ExitCode::kDone);
  }
  CHECK(first.size() > 30);
  for (const auto& [kind, number] : first) {
    INFO(kind << ", operation " << number << " of " << operations);
    const std::string output = "full";
    shop.remove(output);
    shop.remove(output + "-factors");
    int at = 0;
    ExitCode code = ExitCode::kDone;
    {
      const Hook full([&, number = number](std::string_view, const fs::path&) {
        return at++ >= number ? ENOSPC : 0;
      });
      try {
        code = run_here(shop, output, Resume::kNever);
      } catch (const Error& error) {
        code = error.code();
        CHECK(std::string(error.what()).find("No space left on device") != std::string::npos);
      }
    }
    // Only the log may be lost without the run's ending.
    if (at > number && kind.find("log.txt") == std::string::npos) CHECK(code == ExitCode::kOutput);
    for (const auto& [name, content] : shop.files()) {
      CHECK(name.find(".partial") == std::string::npos);
    }
    REQUIRE(run_here(shop, output, Resume::kAuto) == ExitCode::kDone);
    for (const std::string& result : kResults) {
      INFO(result);
      CHECK(read_file(shop / output / result) == read_file(shop / "good" / result));
    }
  }
}

}  // namespace littlebit::test
