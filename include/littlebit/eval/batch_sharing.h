// The batches of a task, shared out among the processes of a run. Which sequences make a batch does
// not depend on the number of processes, and what comes of each is put together in the order of the
// data: the scores are the same for any number.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "littlebit/distributed/communicator.h"

namespace littlebit {

class BatchSharing {
 public:
  // `divides`: each process scores batches of its own. Else every process scores all of them, batch
  // by batch together: for a model whose forward pass is collective. Keeps a reference.
  explicit BatchSharing(Communicator& processes = solo(), bool divides = true)
      : processes_(processes), divides_(divides) {}

  // score(i) for those of the batches [0, count) that are this process's: i modulo the number of
  // processes. `done(batches)`, which may be empty, after each round, with how many are scored in
  // all processes. What fails in one fails in all; where any is asked to stop, all end with an
  // Error of kStopped that says "stopped before `what`".
  void for_each(int64_t count, const std::string& what, const std::function<void(int64_t)>& score,
                const std::function<void(int64_t batches)>& done) const;

  // Numbers that for_each left, each in the process that scored its batch and 0 in the others, for
  // all processes. `device`: the model's.
  void complete(std::span<double> values, at::Device device) const;

  int64_t processes() const { return processes_.world(); }
  int64_t least(int64_t value) const;  // of all processes; collective

 private:
  bool is_shared() const { return divides_ && processes_.world() > 1; }
  Communicator& processes_;
  bool divides_;
};

}  // namespace littlebit
