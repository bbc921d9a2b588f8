// The main of one program: LITTLEBIT_PROGRAM names its function.
#include "littlebit/core/process.h"
#include "littlebit/logging/run_main.h"
#include "littlebit/nn/tensor_memory.h"
#include "programs.h"

LITTLEBIT_SETTLE_WAITING;

int main(int argc, char** argv) {
  return littlebit::run_main([&] {
    littlebit::keep_tensor_memory();
    return littlebit::LITTLEBIT_PROGRAM(argc, argv);
  });
}
