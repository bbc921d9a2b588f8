// What a program settles about its own process before it does anything else.
#pragma once

namespace littlebit {

// Makes OpenMP's threads sleep while they wait for one another, instead of spinning for
// milliseconds: where other programs use the cores too, spinning made runs 15 times slower. OpenMP
// reads this once, when the program is loaded, so the program is started anew (exec, same process)
// unless the user's environment says how to wait (OMP_WAIT_POLICY or GOMP_SPINCOUNT). First call of
// main.
void settle_waiting(char** argv);

}  // namespace littlebit
