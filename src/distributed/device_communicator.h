// Processes on GPUs: tensors go from device to device by a group of c10d's (NCCL's), on a stream of
// its own; what hosts say to each other goes by Gloo, without waiting for a device.
//
// A host that waits for its device waits for the other devices, too, and would wait for ever where
// one is lost. A thread looks at what is under way: where something failed, or is not done when the
// phase's time is over, it ends the process (ProcessGroupOptions::end_process).
#pragma once

#include <c10/core/Device.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <torch/csrc/distributed/c10d/Backend.hpp>

#include "distributed/gloo_communicator.h"
#include "littlebit/core/error.h"
#include "littlebit/core/stopwatch.h"

namespace littlebit {

// Connects the devices of the processes of `hosts`, by the same ranks.
using ConnectDevices = std::function<c10::intrusive_ptr<c10d::Backend>(HostCommunicator& hosts)>;

class DeviceCommunicator : public Connected {
 public:
  // Tensors lie on `device`.
  DeviceCommunicator(std::unique_ptr<HostCommunicator> hosts, const ConnectDevices& connect,
                     at::Device device, std::function<void(const Error&)> end_process);
  ~DeviceCommunicator() override;

  int64_t rank() const override { return hosts_->rank(); }
  int64_t world() const override { return hosts_->world(); }
  void all_reduce_sum(const at::Tensor& values) override;
  at::Tensor reduce_scatter_sum(const at::Tensor& all, int64_t begin, int64_t end) override;
  void all_gather(const at::Tensor& all, int64_t begin, int64_t end) override;
  Pending start_reduce_scatter_sum(const at::Tensor& all, int64_t begin, int64_t end) override;
  Pending start_all_gather(const at::Tensor& all, int64_t begin, int64_t end) override;
  bool is_asynchronous() const override { return true; }
  void broadcast(const at::Tensor& values, int64_t root) override;
  std::vector<std::string> gather(const std::string& text) override { return hosts_->gather(text); }
  bool any(bool mine) override { return hosts_->any(mine); }
  void barrier() override { hosts_->barrier(); }
  void enter(const std::string& phase, double timeout_seconds) override {
    hosts_->enter(phase, timeout_seconds);
  }
  void finish() override;
  void fail(const std::string& why) noexcept override;
  Communicator& connect_part(const std::vector<int64_t>& ranks) override;

 private:
  using Work = c10::intrusive_ptr<c10d::Work>;
  // An operation that the device may still be at.
  struct UnderWay {
    Work work;
    std::string what;  // "step 3, reduce_scatter_sum of 12 MiB"
    Stopwatch since;
    double timeout;
  };

  // Starts an operation; the returned work is to be waited for, by the stream.
  Work start(const char* operation, const at::Tensor& values, const std::function<Work()>& begin);
  void wait(const Work& work);
  int64_t slice_size(int64_t n, int64_t begin, int64_t end);

  void watch();
  void close();  // the thread ends; nothing is watched any more

  std::unique_ptr<HostCommunicator> hosts_;
  ConnectDevices connect_;
  c10::intrusive_ptr<c10d::Backend> backend_;
  at::Device device_;
  std::function<void(const Error&)> end_process_;
  std::map<int64_t, int64_t> slice_sizes_;  // by the number of all elements
  std::vector<std::unique_ptr<Communicator>> parts_;

  std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  std::deque<UnderWay> under_way_;  // in the order of their start
  bool is_open_ = true;
  std::thread watcher_;
};

}  // namespace littlebit
