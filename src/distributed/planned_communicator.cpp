// Bytes by the least that each operation can do with: what a ring of processes sends.
#include "littlebit/distributed/planned_communicator.h"

#include <cmath>

#include "littlebit/core/error.h"

namespace littlebit {

PlannedCommunicator::PlannedCommunicator(int64_t rank, int64_t world) : rank_(rank), world_(world) {
  LB_ASSERT(0 <= rank && rank < world, "a rank of the world");
}

int64_t PlannedCommunicator::bytes_sent() const {
  int64_t sum = 0;
  for (const auto& [operation, traffic] : traffic_) sum += traffic.sent;
  return sum;
}

// `times_sent`: how often a ring passes on the (W - 1) / W of the payload that are not its own.
void PlannedCommunicator::count(const char* operation, int64_t payload, double times_sent) {
  Traffic& traffic = traffic_[operation];
  ++traffic.calls;
  traffic.payload += payload;
  const double others = static_cast<double>(world_ - 1) / static_cast<double>(world_);
  traffic.sent += std::llround(static_cast<double>(payload) * others * times_sent);
}

void PlannedCommunicator::all_reduce_sum(const at::Tensor& values) {
  // A ring's reduce-scatter and all-gather.
  count("all_reduce_sum", static_cast<int64_t>(values.nbytes()), 2);
}

at::Tensor PlannedCommunicator::reduce_scatter_sum(const at::Tensor& all, int64_t begin,
                                                   int64_t end) {
  count("reduce_scatter_sum", static_cast<int64_t>(all.nbytes()), 1);
  return all.narrow(0, begin, end - begin);
}

void PlannedCommunicator::all_gather(const at::Tensor& all, int64_t, int64_t) {
  count("all_gather", static_cast<int64_t>(all.nbytes()), 1);
}

void PlannedCommunicator::broadcast(const at::Tensor& values, int64_t root) {
  LB_ASSERT(0 <= root && root < world_, "a rank of the world");
  count("broadcast", static_cast<int64_t>(values.nbytes()), 1);
}

// As if every text were of this length.
std::vector<std::string> PlannedCommunicator::gather(const std::string& text) {
  count("gather", static_cast<int64_t>(text.size()) * world_, 1);
  return std::vector<std::string>(static_cast<size_t>(world_), text);
}

bool PlannedCommunicator::any(bool mine) {
  count("any", sizeof(int64_t), 2);
  return mine;
}

void PlannedCommunicator::barrier() { count("barrier", sizeof(int64_t), 2); }

}  // namespace littlebit
