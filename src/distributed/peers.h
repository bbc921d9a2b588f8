// The other processes of a run, connected with each by Gloo: messages from process to process.
//
// Messages of a round are posted before any is waited for, so that who is in a round has sent its
// part: the one whose part is missing is the one who is late. What ends a wait badly ends
// everything, with an Error of exit code 75 (communicator.h).
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <vector>

#include "distributed/meeting.h"
#include "littlebit/core/stopwatch.h"
#include "littlebit/distributed/process_group.h"

namespace littlebit {

inline constexpr const char* kAgainHint =
    "start the processes again; with --resume auto a run continues from its newest checkpoint";

// One operation: its name and size for errors, its time, and the mark of its messages.
struct Call {
  const char* operation;
  int64_t bytes;
  Stopwatch stopwatch;
  int tag = 0;
};

struct Message {
  int64_t peer;
  c10::intrusive_ptr<c10d::Work> work;
};

// Messages under way. Their tensors are not to be touched until the round was waited for.
struct Round {
  std::vector<Message> receives, sends;
};

class Peers {
 public:
  Peers(const Environment& environment, const ProcessGroupOptions& options);
  // Those of `ranks`, connected once more. `all` outlives them.
  Peers(Peers& all, const std::vector<int64_t>& ranks);
  Peers(const Peers&) = delete;
  Peers& operator=(const Peers&) = delete;
  ~Peers();  // fails, unless it was closed

  int64_t rank() const { return rank_; }
  int64_t world() const { return world_; }
  // All but this one, the next one first: else everybody would send to rank 0 first.
  std::vector<int64_t> others() const;
  // By ranks of all, which errors name.
  int64_t rank_in_all() const { return in_all_[static_cast<size_t>(rank_)]; }
  std::vector<int64_t> others_in_all() const;

  void enter(const std::string& phase, double timeout_seconds);
  const std::string& phase() const { return all_.phase_; }
  double timeout() const { return all_.timeout_; }
  Meeting& meeting() { return *all_.meeting_; }
  c10::intrusive_ptr<c10d::Store> store(const std::string& prefix);
  Call begin(const char* operation, int64_t bytes);
  // Flat tensors; nothing is sent of an empty one.
  void send(const Call& call, Round& round, int64_t peer, const at::Tensor& flat);
  void receive(const Call& call, Round& round, int64_t peer, const at::Tensor& flat);
  void wait(const Call& call, Round& round);  // the round is empty then

  void close();  // nobody needs anybody any more
  void fail(const std::string& why) noexcept;

 private:
  void wait(const Call& call, Round& round, const Message& message);
  [[noreturn]] void give_up(const Call& call, const Round& round, int64_t peer,
                            const std::string& what);
  std::vector<int64_t> missing_in(const Round& round, int64_t peer) const;

  Peers& all_;  // this, unless it is a part of them
  int64_t rank_, world_;
  std::vector<int64_t> in_all_;  // by rank
  std::string prefix_;           // of keys
  int64_t num_parts_ = 0;
  double timeout_ = 0;
  std::string phase_ = "the start";
  int64_t num_calls_ = 0;
  bool is_open_ = false;
  std::unique_ptr<Meeting> meeting_;
  c10::intrusive_ptr<c10d::Backend> backend_;
};

}  // namespace littlebit
