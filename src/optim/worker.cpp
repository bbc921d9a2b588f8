// One thread and a queue. A job stays at the head of the queue while it runs, so that an empty
// queue means that all is done.
#include "optim/worker.h"

#include <utility>

#include "littlebit/core/signals.h"

namespace littlebit {

void Worker::add(std::function<void()> job) {
  const std::lock_guard lock(mutex_);
  jobs_.push_back(std::move(job));
  changed_.notify_all();
}

void Worker::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return jobs_.empty(); });
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void Worker::run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (changed_.wait(lock, stop, [this] { return !jobs_.empty(); })) {
    if (stop.stop_requested()) return;
    const std::function<void()> job = std::move(jobs_.front());
    // After a failure the rest is taken off the queue without being run, until wait() has thrown
    // it.
    const bool is_left_out = failure_ != nullptr;
    // Jobs run without the lock: others may be added meanwhile.
    lock.unlock();
    std::exception_ptr failure;
    try {
      if (!is_left_out) job();
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    if (failure) failure_ = failure;
    jobs_.pop_front();
    changed_.notify_all();
  }
}

}  // namespace littlebit
