// What the processes of a run tell each other. Every call is collective: all processes make the
// same calls in the same order, with tensors of the same shapes. A run of one process has a
// communicator too (solo), so that there is one code path.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace littlebit {

class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int64_t rank() const = 0;
  virtual int64_t world() const = 0;
  bool is_first() const { return rank() == 0; }  // the one that writes

  // values = the sum over processes, in place. Nothing waits for the device.
  virtual void all_reduce_sum(const at::Tensor& values) = 0;

  // `all` (flat) is this process's summand; returns the sum's elements [begin, end), this process's
  // slice. Slices lie in the order of ranks, of equal sizes but for the last ones. `all` may be
  // overwritten, and the result may share its storage.
  virtual at::Tensor reduce_scatter_sum(const at::Tensor& all, int64_t begin, int64_t end) = 0;

  // The inverse way: [begin, end) of `all` is this process's slice, the rest becomes the others'.
  virtual void all_gather(const at::Tensor& all, int64_t begin, int64_t end) = 0;

  // Every process's text, by rank, on every process.
  virtual std::vector<std::string> gather(const std::string& text) = 0;

  // Whether any process says so: how a verdict of one (told to stop, cannot write) becomes
  // everybody's. To be asked at points that all processes reach.
  virtual bool any(bool mine) = 0;
};

// The communicator of a run of one process.
Communicator& solo();

}  // namespace littlebit
