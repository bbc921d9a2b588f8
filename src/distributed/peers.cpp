// Posting, waiting, and what it means when a message does not come.
#include "distributed/peers.h"

#include <c10/util/Flags.h>
#include <c10/util/Logging.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <numeric>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>

#include "distributed/gloo_backend.h"
#include "distributed/waiting.h"
#include "littlebit/core/error.h"
#include "littlebit/core/signals.h"
#include "littlebit/core/strings.h"

C10_DECLARE_int(caffe2_log_level);

namespace littlebit {
namespace {

// Tags are ints in c10d.
constexpr int64_t kTags = 1 << 30;   // they begin anew behind it
constexpr double kPartSeconds = 60;  // to connect processes that are connected once more

std::chrono::milliseconds milliseconds(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(std::ceil(seconds * 1e3)));
}

// c10d prints the stack for every connection that breaks; what happened is in our errors. And Gloo
// writes into connections that may have closed: that must not be a signal.
void settle_process() {
  std::signal(SIGPIPE, SIG_IGN);
  if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) FLAGS_caffe2_log_level = c10::GLOG_FATAL;
}

}  // namespace

Peers::Peers(const Environment& environment, const ProcessGroupOptions& options)
    : all_(*this),
      rank_(environment.rank),
      world_(environment.world),
      in_all_(static_cast<size_t>(world_)),
      timeout_(options.timeout_seconds) {
  std::iota(in_all_.begin(), in_all_.end(), 0);
  settle_process();
  // Who waits for one that has ended waits in calls of c10d. A stop request could not be looked at
  // there: until all are connected, it ends the process.
  const StopEndsAtOnce stop("stopped before the processes were connected");
  const Stopwatch stopwatch;
  meeting_ = std::make_unique<Meeting>(environment, options.start_seconds);
  const double left = std::max(options.start_seconds - stopwatch.seconds(), 1.0);
  try {
    backend_ = connect_gloo(environment, rank_, world_, store("gloo"), milliseconds(left));
  } catch (const std::exception& error) {
    const std::string what = error.what();
    throw Error(ExitCode::kPeerLost,
                meeting_->name_of(rank_) + " cannot be connected with the other processes: " +
                    what.substr(0, what.find('\n')),
                "GLOO_SOCKET_IFNAME names the network interface to use, where hosts have several");
  }
  is_open_ = true;
}

// All of them are there: one that does not come was lost.
Peers::Peers(Peers& all, const std::vector<int64_t>& ranks)
    : all_(all),
      rank_(std::find(ranks.begin(), ranks.end(), all.rank_) - ranks.begin()),
      world_(static_cast<int64_t>(ranks.size())),
      in_all_(ranks),
      // Two parts must not meet under one key: by the number of the part and its first rank.
      prefix_("part/" + std::to_string(all.num_parts_++) + "/" + std::to_string(ranks.at(0)) +
              "/") {
  LB_ASSERT(&all.all_ == &all, "a part of all, not of a part");
  LB_ASSERT(rank_ < world_, "a part that this process is in");
  const Stopwatch stopwatch;
  try {
    backend_ = connect_gloo(meeting().environment(), rank_, world_, store("gloo"),
                            milliseconds(std::min(timeout(), kPartSeconds)));
  } catch (const std::exception& error) {
    throw Error(ExitCode::kPeerLost,
                meeting().why_failed(others_in_all(), error.what()) + " (rank " +
                    std::to_string(rank_in_all()) + " waited " +
                    format_duration(stopwatch.seconds()) + " for it: " + phase() + ", connecting " +
                    std::to_string(world_) + " processes)",
                kAgainHint);
  }
  is_open_ = true;
}

Peers::~Peers() { fail("it ended before the others"); }

void Peers::enter(const std::string& phase, double timeout_seconds) {
  phase_ = phase;
  timeout_ = timeout_seconds;
}

c10::intrusive_ptr<c10d::Store> Peers::store(const std::string& prefix) {
  return c10::make_intrusive<c10d::PrefixStore>(prefix_ + prefix, meeting().store());
}

void Peers::close() {
  is_open_ = false;
  backend_.reset();
  if (meeting_) meeting_->leave();
}

void Peers::fail(const std::string& why) noexcept {
  if (!is_open_) return;
  is_open_ = false;
  try {
    meeting().tell(why);  // before connections close: then the others look for it
    backend_.reset();
  } catch (const std::exception&) {
  }
}

Call Peers::begin(const char* operation, int64_t bytes) {
  LB_ASSERT(is_open_, "the communicator ended or failed");
  return {.operation = operation,
          .bytes = bytes,
          .stopwatch = {},
          // All processes call the same operations in the same order, so their counts agree: a
          // message of an earlier call cannot be taken for one of this.
          .tag = static_cast<int>(num_calls_++ % kTags)};
}

std::vector<int64_t> Peers::others() const {
  std::vector<int64_t> ranks;
  // Everybody begins with the next one: else all would send to rank 0 first.
  for (int64_t i = 1; i < world_; ++i) ranks.push_back((rank_ + i) % world_);
  return ranks;
}

std::vector<int64_t> Peers::others_in_all() const {
  std::vector<int64_t> ranks = in_all_;
  ranks.erase(ranks.begin() + rank_);
  return ranks;
}

void Peers::send(const Call& call, Round& round, int64_t peer, const at::Tensor& flat) {
  if (flat.numel() == 0) return;
  std::vector<at::Tensor> tensors = {flat};
  try {
    round.sends.push_back({peer, backend_->send(tensors, static_cast<int>(peer), call.tag)});
  } catch (const std::exception& error) {
    give_up(call, round, peer, error.what());
  }
}

void Peers::receive(const Call& call, Round& round, int64_t peer, const at::Tensor& flat) {
  if (flat.numel() == 0) return;
  std::vector<at::Tensor> tensors = {flat};
  try {
    round.receives.push_back({peer, backend_->recv(tensors, static_cast<int>(peer), call.tag)});
  } catch (const std::exception& error) {
    give_up(call, round, peer, error.what());
  }
}

void Peers::wait(const Call& call, Round& round, const Message& message) {
  // The time spent here is what straggler reports are made of.
  const Waiting waiting;
  const double left = std::max(timeout() - call.stopwatch.seconds(), 1e-3);
  try {
    message.work->wait(milliseconds(left));
  } catch (const std::exception& error) {
    give_up(call, round, message.peer, error.what());
  }
}

void Peers::wait(const Call& call, Round& round) {
  // Receives first: a missing one tells who did not come.
  for (const Message& message : round.receives) wait(call, round, message);
  for (const Message& message : round.sends) wait(call, round, message);
  round = {};
}

// By ranks of all: the peers of a round whose messages have not come: the time is over, so asking
// is quick.
std::vector<int64_t> Peers::missing_in(const Round& round, int64_t peer) const {
  std::vector<int64_t> missing = {in_all_[static_cast<size_t>(peer)]};
  for (const Message& message : round.receives) {
    try {
      message.work->wait(std::chrono::milliseconds(1));
    } catch (const std::exception&) {
      missing.push_back(in_all_[static_cast<size_t>(message.peer)]);
    }
  }
  std::sort(missing.begin(), missing.end());
  missing.erase(std::unique(missing.begin(), missing.end()), missing.end());
  return missing;
}

void Peers::give_up(const Call& call, const Round& round, int64_t peer, const std::string& what) {
  const double waited = call.stopwatch.seconds();
  is_open_ = false;
  // A message that does not come in time, or a connection that closed: two questions to the
  // meeting.
  const bool late = waited >= timeout() || what.find("Timed out") != std::string::npos;
  const std::string cause = late ? meeting().why_late(missing_in(round, peer))
                                 : meeting().why_closed(in_all_[static_cast<size_t>(peer)]);
  throw Error(ExitCode::kPeerLost,
              cause + " (rank " + std::to_string(rank_in_all()) + " waited " +
                  format_duration(waited) + " for it: " + phase() + ", " + call.operation + " of " +
                  format_bytes(static_cast<uint64_t>(call.bytes)) + ")",
              kAgainHint);
}

}  // namespace littlebit
