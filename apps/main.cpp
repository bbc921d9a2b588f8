// The main of one program: LITTLEBIT_PROGRAM names its function.
#include <cstdio>
#include <cstdlib>

#include "littlebit/core/error.h"
#include "littlebit/core/process.h"
#include "littlebit/logging/run_main.h"
#include "littlebit/nn/tensor_memory.h"
#include "littlebit/ops/register_ops.h"
#include "programs.h"

LITTLEBIT_SETTLE_WAITING;

int main(int argc, char** argv) {
  const int code = littlebit::run_main([&] {
    littlebit::keep_tensor_memory();
    littlebit::register_ops();
    return littlebit::LITTLEBIT_PROGRAM(argc, argv);
  });
  // A device may wait for the process that was lost, and destructors of globals for the device.
  if (code == static_cast<int>(littlebit::ExitCode::kPeerLost)) {
    std::fflush(nullptr);
    std::_Exit(code);
  }
  return code;
}
