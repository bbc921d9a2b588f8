// A disk that is full, or may not be written, from some operation on, for every kind of operation
// that changes the disk in a run: the run ends in exit code 5 with one message, leaves nothing
// half-written and older results as they were, and the same command with --resume auto then comes
// to the same bytes as a run that was never disturbed. Checkpoints are written while the run waits:
// operations have one order then.
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <system_error>

#include "integration/wrong_input.h"
#include "littlebit/config/option_tree.h"
#include "littlebit/core/fault_hook.h"
#include "littlebit/core/read_file.h"
#include "littlebit/io/json.h"
#include "littlebit/train/run.h"

namespace littlebit::test {
namespace {

namespace fs = std::filesystem;

// A run of two steps in the shop, with every kind of file that a run writes.
ExitCode run_here(const Workshop& shop, const std::string& output, Resume resume,
                  int stop_after = 0) {
  RunOptions options;
  OptionTree tree;
  options.declare(tree);
  const auto path = [&](const std::string& name) { return (shop / name).string(); };
  for (const std::string& word :
       {"model.path=" + path("model"), "data.train=" + path("text.txt"),
        std::string("data.sequence_length=16"), std::string("quant.bits_per_weight=6"),
        "quant.cache_dir=" + path(output + "-factors"), std::string("train.steps=2"),
        std::string("train.micro_batch_size=2"), std::string("train.threads=1"),
        "train.stop_after=" + std::to_string(stop_after), std::string("checkpoint.every=1"),
        std::string("checkpoint.keep=0"), std::string("checkpoint.async=false"),
        std::string("export.formats=[packed,dense]"), "output.dir=" + path(output)}) {
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

// Every kind of operation of a run into `output`, with the number of its first.
std::map<std::string, int> kinds_of_run(const Workshop& shop, const std::string& output,
                                        Resume resume) {
  std::map<std::string, int> first;
  int operations = 0;
  const Hook counting([&](std::string_view operation, const fs::path& path) {
    first.emplace(kind_of(operation, path, shop / output), operations++);
    return 0;
  });
  REQUIRE(run_here(shop, output, resume) == ExitCode::kDone);
  return first;
}

// A run into `output` in which all operations from number `from` on fail with `error`.
void check_failing_run(const Workshop& shop, const std::string& output, Resume resume,
                       const std::string& kind, int from, int error) {
  int at = 0;
  ExitCode code = ExitCode::kDone;
  {
    const Hook full([&](std::string_view, const fs::path&) { return at++ >= from ? error : 0; });
    try {
      code = run_here(shop, output, resume);
    } catch (const Error& failed) {
      code = failed.code();
      CHECK_THAT(failed.what(), Catch::Contains(std::generic_category().message(error)));
      CHECK_FALSE(failed.hint().empty());
    }
  }
  // Only the log may be lost without the run's ending.
  if (at > from && kind != "write log.txt") CHECK(code == ExitCode::kOutput);
  for (const auto& [name, content] : shop.files()) {
    CHECK(name.find(".partial") == std::string::npos);
  }
}

const std::vector<std::string> kResults = {
    "checkpoints/step-2/state.safetensors", "checkpoints/step-2/manifest.json",
    "export/packed/model.safetensors", "export/dense/model.safetensors"};

void check_resumes(const Workshop& shop, const std::string& output) {
  REQUIRE(run_here(shop, output, Resume::kAuto) == ExitCode::kDone);
  for (const std::string& result : kResults) {
    INFO(result);
    CHECK(read_file(shop / output / result) == read_file(shop / "good" / result));
  }
}

// A workshop in memory where there is /dev/shm: on a disk, flushing takes most of the time.
Workshop workshop_in_memory() {
  std::error_code unknown;
  const fs::space_info room = fs::space("/dev/shm", unknown);
  if (unknown || room.available < 32 << 20 || std::getenv("TMPDIR") != nullptr) return Workshop();
  struct Variable {
    Variable() { setenv("TMPDIR", "/dev/shm", 1); }
    ~Variable() { unsetenv("TMPDIR"); }
  } const for_this_one;
  return Workshop();
}

}  // namespace

TEST_CASE("a disk that is full from any kind of operation on") {
  const Workshop shop = workshop_in_memory();
  const std::map<std::string, int> first = kinds_of_run(shop, "good", Resume::kNever);
  CHECK(first.size() > 60);
  for (const auto& [kind, number] : first) {
    INFO(kind << ", operation " << number);
    shop.remove("full");
    shop.remove("full-factors");
    check_failing_run(shop, "full", Resume::kNever, kind, number, ENOSPC);
    check_resumes(shop, "full");
  }
}

TEST_CASE("files and folders that may not be made, from any kind on, in a resumed run") {
  const Workshop shop = workshop_in_memory();
  REQUIRE(run_here(shop, "good", Resume::kNever) == ExitCode::kDone);
  REQUIRE(run_here(shop, "old", Resume::kNever, 1) == ExitCode::kDone);
  shop.copy("old", "full");
  const std::map<std::string, int> first = kinds_of_run(shop, "full", Resume::kAuto);
  const std::string checkpoint = "checkpoints/step-1/";
  int checked = 0;
  for (const auto& [kind, number] : first) {
    if (!kind.starts_with("open ") && !kind.starts_with("mkdir ")) continue;
    const int error = ++checked % 2 == 0 ? EACCES : EROFS;
    INFO(kind << ", operation " << number << ", errno " << error);
    shop.remove("full");
    shop.copy("old", "full");
    check_failing_run(shop, "full", Resume::kAuto, kind, number, error);
    for (const std::string name : {"state.safetensors", "manifest.json"}) {
      CHECK(shop.read("full/" + checkpoint + name) == shop.read("old/" + checkpoint + name));
    }
    // The first line is of the step that stays.
    const std::string line = shop.read("old/metrics.jsonl");
    CHECK(shop.read("full/metrics.jsonl").starts_with(line));
    CHECK_NOTHROW(read_json_file(shop / "full/run.json"));
    CHECK_FALSE(shop.read("full/config.yaml").empty());
    check_resumes(shop, "full");
  }
  CHECK(checked > 25);
}

}  // namespace littlebit::test
