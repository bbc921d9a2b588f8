// A thread that does what it is given, one thing after the other, beside the one that gives it.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

namespace littlebit {

class Worker {
 public:
  Worker() : thread_([this](const std::stop_token& stop) { run(stop); }) {}

  void add(std::function<void()> job);
  // Returns when all is done. What a job threw is thrown here, once; later jobs were left out.
  void wait();

 private:
  void run(const std::stop_token& stop);

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<std::function<void()>> jobs_;  // the first is being done
  std::exception_ptr failure_;
  std::jthread thread_;  // destroyed first: it finishes the job it is at, and leaves the others
};

}  // namespace littlebit
