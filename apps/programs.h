// The programs, each a function of its own: main.cpp is the main of one of them, bundle.cpp of all.
#pragma once

namespace littlebit {

// Parse the command line, run, and return the exit code. Errors are thrown (logging/run_main.h).
int littlebit_train(int argc, char** argv);
int littlebit_eval(int argc, char** argv);
int littlebit_bench(int argc, char** argv);

}  // namespace littlebit
