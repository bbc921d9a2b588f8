// A communicator that can connect some of its processes a second time.
#pragma once

#include <cstdint>
#include <vector>

#include "littlebit/distributed/communicator.h"

namespace littlebit {

class Connected : public Communicator {
 public:
  // Connects the processes of `ranks` (ascending, this one among them) with each other: a
  // communicator of theirs, by ranks of its own. It lives as long as this one, whose phase and
  // time-out are its, too, and ends or fails with it; its errors name processes by this one's
  // ranks. Collective: every process is in one part, or calls it for none.
  virtual Communicator& connect_part(const std::vector<int64_t>& ranks) = 0;
};

}  // namespace littlebit
