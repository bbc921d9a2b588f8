// Options as every program reads them.
#include "littlebit/commands/read_options.h"

#include <catch2/catch.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/write_file.h"
#include "littlebit/eval/options.h"
#include "temp_folder.h"
#include "unit/io/expect_error.h"

namespace littlebit {
namespace {

using test::expect_error;

TEST_CASE("options by key, values quoted where they are text") {
  OptionTree tree;
  EvalOptions options;
  EvalRunOptions run;
  ModelOptions model;
  tree.add("eval", "", options);
  tree.add("eval", "", run);
  tree.add("model", "", model);
  tree.set(quoted_override("model.path", "a: b # [\"c\"]"));
  tree.set(quoted_override("eval.tasks", std::vector<std::string>{"x", "y, z"}));
  tree.set("eval.limit=7");
  tree.set("eval.dtype=bf16");
  tree.finish();
  CHECK(model.path == "a: b # [\"c\"]");
  CHECK(options.tasks == std::vector<std::string>{"x", "y, z"});
  CHECK(options.limit == 7);
  CHECK(run.dtype == FloatKind::kBf16);
  tree.set("eval.device=tpu");
  tree.set("eval.sequence_length=-4");
  expect_error(ExitCode::kUsage, {"eval.device", "eval.sequence_length"}, [&] { tree.finish(); });
}

TEST_CASE("overrides take precedence over the file, the last one of a key over those before") {
  const TempFolder temp;
  write_file(temp.path() / "options.yaml", "eval:\n  limit: 3\n  sequence_length: 64\n");
  struct Options {
    EvalOptions eval;
    void declare(OptionTree& tree) { tree.add("eval", "", eval); }
  };
  const std::vector<std::string> overrides = {"eval.limit=5", "eval.limit=6"};
  const auto options = read_options<Options>(temp.path() / "options.yaml", overrides);
  CHECK(options.eval.limit == 6);
  CHECK(options.eval.sequence_length == 64);
  expect_error(ExitCode::kUsage, {"eval.limt", "eval.limit", "eval.batch"}, [] {
    read_options<Options>({}, {"eval.limt=5", "eval.batch=2"});
  });
}

}  // namespace
}  // namespace littlebit
