// Where the processes of a run meet before they are connected, and where they look when a
// connection breaks: a store of keys (c10d's TCPStore) that rank 0 or a torchrun agent keeps.
//
// Who caused what is settled here. The first process that knows a cause writes it under one key,
// and everybody else repeats it: a process that ends because its neighbour was lost looks lost to
// its own neighbours. One that waited in vain says so, too, before it blames others: who waits
// itself is not who is missing.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <torch/csrc/distributed/c10d/Store.hpp>
#include <vector>

#include "littlebit/distributed/environment.h"

namespace littlebit {

class Meeting {
 public:
  // Returns when every process has come. Error of exit code 75 or 2, see make_communicator.
  Meeting(const Environment& environment, double start_seconds);
  ~Meeting() { stay(); }

  const Environment& environment() const { return environment_; }
  const c10::intrusive_ptr<c10d::Store>& store() const { return store_; }
  std::string name_of(int64_t rank) const;  // "rank 2 on node17"

  // The connection to `peer` closed, or `missing` did not come in time: what happened, in one
  // sentence that is the same for all processes that get to ask. Takes some seconds at most.
  std::string why_closed(int64_t peer);
  std::string why_late(const std::vector<int64_t>& missing);
  // The same of a connection with `others`, all of them, which failed with `what`.
  std::string why_failed(const std::vector<int64_t>& others, const std::string& what);

  // This process ends because of `why`.
  void tell(const std::string& why);

  // Where a cause was written, the keeper of the store stays for a moment, so that others read it.
  void stay() noexcept;

  // Everybody is done with everything but the store: rank 0, who keeps it, leaves last.
  void leave();

 private:
  using Question = std::function<std::string(c10d::Store&)>;
  // The store's answer; nullopt where it cannot be reached, then and ever after: a store that does
  // not answer would keep us for ever.
  std::optional<std::string> ask(const Question& question);
  std::string settle(const std::string& cause);  // the first cause that was written
  std::optional<std::string> find_cause();
  std::optional<std::string> cause_or_blamed(const std::vector<int64_t>& ranks,
                                             std::vector<std::string>& blamed);
  std::string names_of(const std::vector<int64_t>& ranks) const;
  bool keeps_store() const { return environment_.rank == 0 && !environment_.agent_store; }
  void say_waiting();
  bool is_waiting(int64_t rank);
  void wait_for_count(const char* key, int64_t count, double seconds);
  void come_together(double seconds);

  Environment environment_;
  std::vector<std::string> hosts_;  // by rank
  c10::intrusive_ptr<c10d::Store> store_;
  // Of any thread that asks, as a process ends; one at a time.
  std::mutex asking_;
  std::atomic<bool> is_reachable_ = true, is_settled_ = false;
};

}  // namespace littlebit
