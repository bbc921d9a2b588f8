// Devices as a user meets them: the self-test's table and exit code, a GPU asked for where there is
// none.
#include <catch2/catch.hpp>

#include "integration/program.h"
#include "littlebit/device/cuda.h"
#include "support/tiny_model.h"

using namespace littlebit;
using Catch::Matchers::Contains;
using littlebit::test::run_program;

TEST_CASE("littlebit-train --self-test: a table of checks, and nothing written") {
  const auto got = run_program("littlebit-train", {"--self-test", "train.device=cpu"});
  CHECK(got.code == 0);
  CHECK(got.out.empty());
  for (const char* row : {"littlebit::expand_signs", "student, logits", "gradients of factors",
                          "update of latents", "packed words"}) {
    CHECK_THAT(got.err, Contains(row));
  }
  CHECK_THAT(got.err, Contains("self-test: all ok"));
  CHECK_THAT(got.err, !Contains("FAILED") && !Contains("\nbf16 "));
  const auto bf16 =
      run_program("littlebit-train", {"--self-test", "train.device=cpu", "train.dtype=bf16"});
  CHECK(bf16.code == 0);
  CHECK_THAT(bf16.err, Contains("bf16") && Contains("self-test: all ok"));
  CHECK(run_program("littlebit-train", {"--self-test", "train.devise=cpu"}).code == 2);
}

TEST_CASE("a GPU asked for where there is none: exit code 2, the reason and what to do") {
  if (open_cuda().kernels != nullptr) {
    const auto got = run_program("littlebit-train", {"--self-test", "train.device=cuda"});
    INFO(got.err);
    CHECK(got.code == 0);
    return;
  }
  const TempFolder temp;
  test::write_tiny_llama(temp.path());
  const std::string model = temp.path().string();
  const auto refused = [](const test::Outcome& got, const std::string& key) {
    INFO(got.err);
    CHECK(got.code == 2);
    CHECK_THAT(got.err, Contains(key + " is cuda, but ") && Contains("hint: "));
    CHECK_THAT(got.err,
               Contains("NVIDIA driver") || Contains("without CUDA") || Contains("capability"));
  };
  refused(run_program("littlebit-train", {"--self-test", "train.device=cuda"}), "train.device");
  refused(run_program("littlebit-train",
                      {"--check", "model.path=" + model, "output.dir=" + model + "/out",
                       "data.train=[{path: x.txt}]", "train.steps=1", "train.device=cuda"}),
          "train.device");
  refused(run_program("littlebit-eval", {"forward", "--model", model, "--device", "cuda", "--input",
                                         model + "/model.safetensors", "--output", model + "/o"}),
          "--device");
  refused(run_program("littlebit-eval",
                      {"--model", model, "--device", "cuda", "--text", model + "/config.json"}),
          "eval.device");
  CHECK(run_program("littlebit-eval", {"--model", model, "--device", "tpu", "--text", "x"}).code ==
        2);
}
