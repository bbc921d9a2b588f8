// Operations of c10d wait by the stream, not by the host; so nothing here tells how an operation
// ended but the watching thread.
#include "distributed/device_communicator.h"

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <utility>

#include "distributed/peers.h"
#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/distributed/agreement.h"

namespace littlebit {
namespace {

// How often a failure is looked for, and how long an abort may take.
constexpr auto kLookEvery = std::chrono::milliseconds(200);
constexpr auto kAbortTime = std::chrono::seconds(2);

std::string words_of(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& error) {
    const std::string what = error.what();
    return what.substr(0, what.find('\n'));
  } catch (...) {
    return "an unknown error";
  }
}

// `all` where slices of `each` fill it; else a copy that is long enough for them. NCCL's slices are
// all of one size.
at::Tensor padded(const at::Tensor& all, int64_t size) {
  if (all.numel() == size) return all;
  at::Tensor longer = at::zeros({size}, all.options());
  longer.narrow(0, 0, all.numel()).copy_(all);
  return longer;
}

}  // namespace

DeviceCommunicator::DeviceCommunicator(std::unique_ptr<HostCommunicator> hosts,
                                       const ConnectDevices& connect, at::Device device,
                                       std::function<void(const Error&)> end_process)
    : hosts_(std::move(hosts)),
      connect_(connect),
      backend_(connect_(*hosts_)),
      device_(device),
      end_process_(std::move(end_process)),
      watcher_([this] { watch(); }) {}

DeviceCommunicator::~DeviceCommunicator() { fail("it ended before the others"); }

Communicator& DeviceCommunicator::connect_part(const std::vector<int64_t>& ranks) {
  return *parts_.emplace_back(std::make_unique<DeviceCommunicator>(
      hosts_->make_part(ranks), connect_, device_, end_process_));
}

DeviceCommunicator::Work DeviceCommunicator::start(const char* operation, const at::Tensor& values,
                                                   const std::function<Work()>& begin) {
  LB_ASSERT(values.device() == device_, "a tensor of this process's device");
  const std::string what = hosts_->phase() + ", " + operation + " of " +
                           format_bytes(static_cast<uint64_t>(values.nbytes()));
  Work work;
  try {
    work = begin();
  } catch (const std::exception&) {
    throw Error(ExitCode::kPeerLost,
                hosts_->why_lost(false, words_of(std::current_exception())) + " (" + what + ")",
                kAgainHint);
  }
  // From here on the watching thread knows of it: a process that fails elsewhere leaves this one's
  // stream waiting, which nothing on the host would notice.
  const std::lock_guard lock(mutex_);
  LB_ASSERT(is_open_, "the communicator ended or failed");
  under_way_.push_back({.work = work, .what = what, .since = {}, .timeout = hosts_->timeout()});
  return work;
}

void DeviceCommunicator::wait(const Work& work) {
  try {
    work->wait();
  } catch (const std::exception&) {
    throw Error(
        ExitCode::kPeerLost,
        hosts_->why_lost(false, words_of(std::current_exception())) + " (" + hosts_->phase() + ")",
        kAgainHint);
  }
}

// The size of all slices but the last ones, whose own may be shorter: the largest of any process.
int64_t DeviceCommunicator::slice_size(int64_t n, int64_t begin, int64_t end) {
  LB_ASSERT(0 <= begin && begin <= end && end <= n, "a slice of the tensor");
  // A process with an empty slice cannot tell the size from its own: once per size of tensor, all
  // are asked.
  auto known = slice_sizes_.find(n);
  if (known == slice_sizes_.end()) {
    const std::vector<int64_t> sizes = numbers_of(*hosts_, end - begin);
    known = slice_sizes_.emplace(n, *std::max_element(sizes.begin(), sizes.end())).first;
  }
  const int64_t each = known->second;
  LB_ASSERT(begin == std::min(rank() * each, n) && end == std::min((rank() + 1) * each, n),
            "slices of equal sizes but for the last ones, in the order of ranks");
  LB_ASSERT(each * world() >= n, "slices that leave nothing out");
  return each;
}

void DeviceCommunicator::all_reduce_sum(const at::Tensor& values) {
  c10::NoGradGuard no_grad;
  if (values.numel() == 0) return;
  std::vector<at::Tensor> sum = {values.contiguous()};
  wait(start("all_reduce_sum", values, [&] { return backend_->allreduce(sum); }));
  if (!sum[0].is_same(values)) values.copy_(sum[0]);
}

Pending DeviceCommunicator::start_reduce_scatter_sum(const at::Tensor& all, int64_t begin,
                                                     int64_t end) {
  c10::NoGradGuard no_grad;
  LB_ASSERT(all.dim() == 1 && all.is_contiguous(), "a flat tensor");
  if (all.numel() == 0) return Pending(all);
  const int64_t each = slice_size(all.numel(), begin, end);
  at::Tensor summands = padded(all, each * world());
  // In its place where that is NCCL's way to do so, at this process's slice.
  at::Tensor sum = summands.narrow(0, rank() * each, each);
  const Work work = start("reduce_scatter_sum", all,
                          [&] { return backend_->_reduce_scatter_base(sum, summands); });
  // Holds `summands`, which the operation reads until it has ended.
  return Pending([this, work, sum, summands, count = end - begin] {
    const c10::NoGradGuard none;
    wait(work);
    return sum.narrow(0, 0, count);
  });
}

Pending DeviceCommunicator::start_all_gather(const at::Tensor& all, int64_t begin, int64_t end) {
  c10::NoGradGuard no_grad;
  LB_ASSERT(all.dim() == 1 && all.is_contiguous(), "a flat tensor");
  if (all.numel() == 0) return Pending(all);
  const int64_t each = slice_size(all.numel(), begin, end);
  at::Tensor gathered = padded(all, each * world());
  at::Tensor mine = gathered.narrow(0, rank() * each, each);
  const Work work =
      start("all_gather", all, [&] { return backend_->_allgather_base(gathered, mine); });
  return Pending([this, work, all, gathered, mine] {
    const c10::NoGradGuard none;
    wait(work);
    if (!gathered.is_same(all)) all.copy_(gathered.narrow(0, 0, all.numel()));
    return all;
  });
}

at::Tensor DeviceCommunicator::reduce_scatter_sum(const at::Tensor& all, int64_t begin,
                                                  int64_t end) {
  return start_reduce_scatter_sum(all, begin, end).wait();
}

void DeviceCommunicator::all_gather(const at::Tensor& all, int64_t begin, int64_t end) {
  start_all_gather(all, begin, end).wait();
}

void DeviceCommunicator::broadcast(const at::Tensor& values, int64_t root) {
  c10::NoGradGuard no_grad;
  LB_ASSERT(0 <= root && root < world(), "a rank of the world");
  if (values.numel() == 0) return;
  std::vector<at::Tensor> sent = {values.contiguous()};
  c10d::BroadcastOptions options;
  options.rootRank = root;
  wait(start("broadcast", values, [&] { return backend_->broadcast(sent, options); }));
  if (!sent[0].is_same(values)) values.copy_(sent[0]);
}

// Operations end in the order of their start: only the first can be the one that is waited for.
void DeviceCommunicator::watch() {
  std::unique_lock lock(mutex_);
  while (is_open_) {
    changed_.wait_for(lock, kLookEvery);
    while (is_open_ && !under_way_.empty()) {
      const UnderWay first = under_way_.front();
      lock.unlock();  // looking may take c10d's own locks
      const bool is_done = first.work->isCompleted();
      const std::exception_ptr failure = is_done ? first.work->exception() : nullptr;
      // The time counts from the start on the host, so it includes the work on the device before
      // it.
      const bool is_late = !is_done && first.since.seconds() > first.timeout;
      std::string cause;
      // Finding the cause asks the store and may take seconds; the lock is not held meanwhile.
      if (failure || is_late) {
        cause = hosts_->why_lost(is_late, failure ? words_of(failure) : std::string()) + " (rank " +
                std::to_string(hosts_->rank_in_all()) + " waited " +
                format_duration(first.since.seconds()) + " for it: " + first.what + ")";
      }
      lock.lock();
      if (!is_open_) return;
      if (!cause.empty()) {
        is_open_ = false;
        lock.unlock();
        // If this process keeps the store, the others read the cause there before it ends. It ends
        // here because its main thread may wait for the device for ever.
        hosts_->stay();
        end_process_(Error(ExitCode::kPeerLost, cause, kAgainHint));
        return;
      }
      if (!is_done) break;
      under_way_.pop_front();
    }
  }
}

void DeviceCommunicator::close() {
  {
    const std::lock_guard lock(mutex_);
    is_open_ = false;
    under_way_.clear();
  }
  changed_.notify_all();
  if (watcher_.joinable()) watcher_.join();
}

// c10d's order: nobody is at work, the group ends while the devices are there, then the place where
// it met.
void DeviceCommunicator::finish() {
  for (const auto& part : parts_) part->finish();
  hosts_->barrier();
  close();
  backend_->shutdown();
  backend_.reset();
  hosts_->finish();
}

// An abort may hang where devices wait for each other, and so may the group's end: it is left to
// the end of the process.
void DeviceCommunicator::fail(const std::string& why) noexcept {
  try {
    hosts_->fail(why);
    for (const auto& part : parts_) part->fail(why);
    close();
    if (!backend_) return;
    std::promise<void> done;
    std::future<void> is_done = done.get_future();
    std::thread([backend = std::exchange(backend_, {}), done = std::move(done)]() mutable {
      try {
        backend->abort();
      } catch (const std::exception&) {
      }
      backend.release();
      done.set_value();
    }).detach();
    is_done.wait_for(kAbortTime);
  } catch (const std::exception&) {
  }
}

}  // namespace littlebit
