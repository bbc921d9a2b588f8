// All programs in one file, a third of their size together: what a bundle holds (.ci/bundle). The
// name it is started by says which one it is.
#include <cstdio>
#include <string_view>

#include "littlebit/core/process.h"
#include "littlebit/logging/run_main.h"
#include "littlebit/nn/tensor_memory.h"
#include "littlebit/ops/register_ops.h"
#include "programs.h"

LITTLEBIT_SETTLE_WAITING;

int main(int argc, char** argv) {
  using namespace littlebit;
  std::string_view name = argc > 0 ? argv[0] : "";
  name = name.substr(name.rfind('/') + 1);
  int (*program)(int, char**) = nullptr;
  if (name == "littlebit-train") program = littlebit_train;
  if (name == "littlebit-eval") program = littlebit_eval;
  if (name == "littlebit-bench") program = littlebit_bench;
  if (program == nullptr) {
    std::fputs(
        "error: this program's name is not littlebit-train, littlebit-eval or littlebit-bench\n"
        "hint: use the programs in bin/\n",
        stderr);
    return 2;
  }
  return run_main([&] {
    keep_tensor_memory();
    register_ops();
    return program(argc, argv);
  });
}
