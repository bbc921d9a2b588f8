// How much memory this process may still take.
#pragma once

namespace littlebit {

// Bytes of main memory that are free or held for files alone, within what the process's control
// groups leave of their limits; 0 where the system does not say. What other programs will take is
// not known to anybody.
double available_memory();

}  // namespace littlebit
