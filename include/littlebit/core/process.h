// Process-wide start-up settings.
#pragma once

namespace littlebit {

// Makes OpenMP's threads sleep while they wait for one another, instead of spinning for
// milliseconds: where other programs use the cores too, spinning made runs 15 times slower. OpenMP
// reads this once, when the program is loaded, so the program is started anew (exec, same process,
// same name) unless the environment says how to wait (OMP_WAIT_POLICY or GOMP_SPINCOUNT), or the
// program was not started by itself (`ld-linux.so PROGRAM`).
//
// Called by the loader, before the constructors of any library ran: those of LibTorch take 0.2
// seconds, which would otherwise be spent twice. A program asks for it by LITTLEBIT_SETTLE_WAITING
// at namespace scope.
void settle_waiting(int argc, char** argv, char** environment);

// Opens /dev/null where standard input, output or error was closed by whoever started the program:
// else the next file that is opened would become it, and messages would be written into results.
// To be called before any file is opened.
void open_closed_descriptors();

// Lets the C library keep up to 256 MiB of freed memory for the next request. By default it hands
// each large block back to the system and fetches it anew: tensors come and go by the thousand, and
// clearing their pages took a tenth of the time. Settings of the user's environment
// (GLIBC_TUNABLES, MALLOC_...) stand. To be called before threads are started.
void keep_freed_memory();

}  // namespace littlebit

#define LITTLEBIT_SETTLE_WAITING                                                      \
  [[gnu::section(".preinit_array"), gnu::used]] static void (*const settle_at_start)( \
      int, char**, char**) = ::littlebit::settle_waiting
