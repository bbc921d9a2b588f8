// Communication between the processes of a run. Every call but fail() is collective: all processes
// make the same calls in the same order, with tensors of the same shapes and types. A run of one
// process has a communicator too (solo), so that there is one code path.
//
// Sums are taken in one order of ranks, whatever the slices: two runs of the same number of
// processes get the same bytes. Where another process is lost, or does not come within the
// time-out, a call ends with an Error of exit code 75 that names the rank where it is known, what
// was being done, and how long it took; the communicator is of no more use then. A process that
// cannot go on for a reason of its own calls fail(), so that the others do not wait for it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace littlebit {

// A call that was started. Until wait() its tensors are neither read, written nor let go of.
class Pending {
 public:
  explicit Pending(at::Tensor done) : result_(std::move(done)) {}
  explicit Pending(std::function<at::Tensor()> wait) : wait_(std::move(wait)) {}

  // Once: the result, for work that is enqueued from here on. Does not make the host wait for a
  // device.
  at::Tensor wait() { return wait_ ? std::exchange(wait_, {})() : std::exchange(result_, {}); }

 private:
  at::Tensor result_;
  std::function<at::Tensor()> wait_;
};

class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int64_t rank() const = 0;
  virtual int64_t world() const = 0;
  bool is_first() const { return rank() == 0; }  // the one that writes

  // values = the sum over processes, in place. Nothing waits for the device.
  virtual void all_reduce_sum(const at::Tensor& values) = 0;

  // `all` (flat) is this process's summand; returns the sum's elements [begin, end), this process's
  // slice. Slices lie in the order of ranks, of equal sizes but for the last ones, which may be
  // shorter or empty. `all` may be overwritten, and the result may share its storage.
  virtual at::Tensor reduce_scatter_sum(const at::Tensor& all, int64_t begin, int64_t end) = 0;

  // The inverse way: [begin, end) of `all` is this process's slice, the rest becomes the others'.
  virtual void all_gather(const at::Tensor& all, int64_t begin, int64_t end) = 0;

  // The same two, started: where they can they run beside what the caller does until it waits
  // (`all` is what all_gather's wait() returns). Here they are done at once. Other calls may come
  // in between; what was started is waited for in the order of its start, in all processes alike.
  virtual Pending start_reduce_scatter_sum(const at::Tensor& all, int64_t begin, int64_t end) {
    return Pending(reduce_scatter_sum(all, begin, end));
  }
  virtual Pending start_all_gather(const at::Tensor& all, int64_t begin, int64_t end) {
    all_gather(all, begin, end);
    return Pending(all);
  }
  // Whether the two run beside other work: whether it pays to start them early.
  virtual bool is_asynchronous() const { return false; }

  // values = those of process `root`, in place.
  virtual void broadcast(const at::Tensor& values, int64_t root = 0) = 0;

  // Every process's text, by rank, on every process.
  virtual std::vector<std::string> gather(const std::string& text) = 0;

  // Whether any process says so: how a verdict of one (stop requested, cannot write) becomes
  // everybody's. To be asked at points that all processes reach.
  virtual bool any(bool mine) = 0;

  // Returns when all processes have called it.
  virtual void barrier() = 0;

  // From here on the processes do `phase` ("step 12", "saving step 12"), which errors name, and a
  // call waits for the others at most so long. Not collective, but a process that allows itself
  // more time than the others wait is taken for lost.
  virtual void enter(const std::string& phase, double timeout_seconds) = 0;

  // The end of the run: returns when every process is there, then lets go of the connections, in an
  // order in which none is missed. Nothing may be called behind it. A communicator that is
  // destroyed without it counts as failed.
  virtual void finish() = 0;

  // This process leaves the others because of `why`, which their errors repeat. Throws nothing.
  virtual void fail(const std::string& why) noexcept = 0;
};

// The communicator of a run of one process: the one of those that need none of their own, or a new
// one.
Communicator& solo();
std::unique_ptr<Communicator> make_solo();

}  // namespace littlebit
