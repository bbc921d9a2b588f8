// Several processes of a run as threads of a test: a Communicator each, sums in the order of ranks.
// kLate: what is started happens when it is waited for, and its tensors must not have changed.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <barrier>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "littlebit/distributed/communicator.h"

namespace littlebit::test {

enum class Started { kAtOnce, kLate };

class ThreadProcesses {
 public:
  explicit ThreadProcesses(int64_t world, Started started = Started::kAtOnce)
      : world_(world), started_(started), barrier_(world), tensors_(world), texts_(world) {}

  // Runs `body` once for each rank, all at a time; throws what the first rank threw that did. No
  // rank may leave a collective call out. Bodies hand over what is to be checked: Catch2's checks
  // are of one thread.
  static void run(int64_t world, const std::function<void(Communicator&)>& body,
                  Started started = Started::kAtOnce) {
    ThreadProcesses processes(world, started);
    std::vector<std::exception_ptr> failures(world);
    std::vector<std::thread> threads;
    for (int64_t rank = 0; rank < world; ++rank) {
      threads.emplace_back([&, rank] {
        Rank communicator(processes, rank);
        try {
          body(communicator);
        } catch (...) {
          failures[rank] = std::current_exception();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const std::exception_ptr& failure : failures) {
      if (failure) std::rethrow_exception(failure);
    }
  }

 private:
  class Rank : public Communicator {
   public:
    Rank(ThreadProcesses& all, int64_t rank) : all_(all), rank_(rank) {}
    int64_t rank() const override { return rank_; }
    int64_t world() const override { return all_.world_; }

    void all_reduce_sum(const at::Tensor& values) override { values.copy_(sum(values)); }
    at::Tensor reduce_scatter_sum(const at::Tensor& all, int64_t begin, int64_t end) override {
      return sum(all).narrow(0, begin, end - begin).clone();
    }
    void all_gather(const at::Tensor& all, int64_t begin, int64_t end) override {
      const c10::NoGradGuard no_grad;
      all_.tensors_[rank_] = all.narrow(0, begin, end - begin).clone();
      all_.barrier_.arrive_and_wait();
      all.copy_(at::cat(all_.tensors_));
      all_.barrier_.arrive_and_wait();
    }
    std::vector<std::string> gather(const std::string& text) override {
      all_.texts_[rank_] = text;
      all_.barrier_.arrive_and_wait();
      std::vector<std::string> texts = all_.texts_;
      all_.barrier_.arrive_and_wait();
      return texts;
    }
    bool is_asynchronous() const override { return all_.started_ == Started::kLate; }
    Pending start_reduce_scatter_sum(const at::Tensor& all, int64_t begin, int64_t end) override {
      return started(all, [=, this] { return reduce_scatter_sum(all, begin, end); });
    }
    Pending start_all_gather(const at::Tensor& all, int64_t begin, int64_t end) override {
      return started(all, [=, this] {
        all_gather(all, begin, end);
        return all;
      });
    }
    void broadcast(const at::Tensor& values, int64_t root) override {
      const c10::NoGradGuard no_grad;
      all_.tensors_[rank_] = values.clone();
      all_.barrier_.arrive_and_wait();
      values.copy_(all_.tensors_[root]);
      all_.barrier_.arrive_and_wait();
    }
    void barrier() override { all_.barrier_.arrive_and_wait(); }
    void enter(const std::string&, double) override {}
    void finish() override {}
    void fail(const std::string&) noexcept override {}
    bool any(bool mine) override {
      for (const std::string& text : gather(mine ? "yes" : "")) {
        if (!text.empty()) return true;
      }
      return false;
    }

   private:
    Pending started(const at::Tensor& given, const std::function<at::Tensor()>& call) {
      const c10::NoGradGuard no_grad;
      if (!is_asynchronous()) return Pending(call());
      return Pending([given, call, before = given.clone()] {
        if (!at::equal(given, before)) throw std::logic_error("a tensor under way was written to");
        return call();
      });
    }
    at::Tensor sum(const at::Tensor& mine) {
      const c10::NoGradGuard no_grad;
      all_.tensors_[rank_] = mine.clone();
      all_.barrier_.arrive_and_wait();
      at::Tensor total = all_.tensors_[0].clone();
      for (int64_t rank = 1; rank < all_.world_; ++rank) total.add_(all_.tensors_[rank]);
      all_.barrier_.arrive_and_wait();
      return total;
    }

    ThreadProcesses& all_;
    int64_t rank_;
  };

  int64_t world_;
  Started started_;
  std::barrier<> barrier_;
  std::vector<at::Tensor> tensors_;
  std::vector<std::string> texts_;
};

}  // namespace littlebit::test
