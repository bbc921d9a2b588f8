// A communicator for plans: it has a rank in a world of any size, sends nothing, and counts what
// would be sent.
#pragma once

#include <map>

#include "littlebit/distributed/communicator.h"

namespace littlebit {

// Of one operation, over all of its calls.
struct Traffic {
  int64_t calls = 0;
  int64_t payload = 0;  // bytes of the tensors that were given
  int64_t sent = 0;     // bytes that one process sends, by algorithms that send the least
};

// Tensors keep what they hold; they need no storage (the device "meta"). gather gives this
// process's text for everybody's, any() this process's answer.
class PlannedCommunicator : public Communicator {
 public:
  PlannedCommunicator(int64_t rank, int64_t world);

  // By operation: "all_reduce_sum", "reduce_scatter_sum", "all_gather", "broadcast", "gather",
  // "any", "barrier".
  const std::map<std::string, Traffic>& traffic() const { return traffic_; }
  int64_t bytes_sent() const;
  void clear() { traffic_.clear(); }

  int64_t rank() const override { return rank_; }
  int64_t world() const override { return world_; }
  void all_reduce_sum(const at::Tensor& values) override;
  at::Tensor reduce_scatter_sum(const at::Tensor& all, int64_t begin, int64_t end) override;
  void all_gather(const at::Tensor& all, int64_t begin, int64_t end) override;
  void broadcast(const at::Tensor& values, int64_t root = 0) override;
  std::vector<std::string> gather(const std::string& text) override;
  bool any(bool mine) override;
  void barrier() override;
  void enter(const std::string&, double) override {}
  void finish() override {}
  void fail(const std::string&) noexcept override {}

 private:
  void count(const char* operation, int64_t payload, double times_sent);
  int64_t rank_, world_;
  std::map<std::string, Traffic> traffic_;
};

}  // namespace littlebit
