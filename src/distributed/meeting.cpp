// After the start no call to the store may wait for ever: a stopped rank 0 takes the store with it,
// and c10d's client has no time-out for most calls. Each is made in a thread of its own, which is
// left behind where no answer comes.
//
//     claim/R   how many processes said that they are rank R
//     here/R    of how many processes rank R was told, and its host
//     waits/R   rank R misses others: it is not the one to be blamed
//     cause     why the run ends, by the first one that knew
//     told      how many have read that
//     left      how many have left in order
#include "distributed/meeting.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <memory>
#include <system_error>
#include <thread>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/stopwatch.h"
#include "littlebit/core/strings.h"

namespace littlebit {
namespace {

using Milliseconds = std::chrono::milliseconds;

// A store that does not answer for so long is taken for lost.
constexpr auto kAnswerTime = Milliseconds(3000);
constexpr auto kPollTime = Milliseconds(25);
// How long to look for the cause of a closed connection, or of one to somebody who waits too.
constexpr double kCauseSeconds = 0.5, kVictimSeconds = 4;
// How long after the first time-out those of the others may come.
constexpr double kLateSeconds = 2;
constexpr double kLeaveSeconds = 5, kCauseStays = 1;

Milliseconds milliseconds(double seconds) {
  return Milliseconds(std::max<int64_t>(1, static_cast<int64_t>(seconds * 1e3)));
}

std::string key_of(const char* what, int64_t rank) { return what + std::to_string(rank); }

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

std::string place(const Environment& environment) {
  return environment.master_address + ":" + std::to_string(environment.master_port);
}

c10::intrusive_ptr<c10d::Store> open_store(const Environment& environment, double seconds) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(environment.master_port);
  options.isServer = environment.rank == 0 && !environment.agent_store;
  options.numWorkers = static_cast<size_t>(environment.world);
  options.waitWorkers = false;  // we name those who do not come
  options.timeout = milliseconds(seconds);
  if (options.isServer && environment.listening_socket >= 0) {
    options.masterListenFd = environment.listening_socket;
  }
  try {
    return c10::make_intrusive<c10d::PrefixStore>(
        environment.key_prefix + "littlebit",
        c10::make_intrusive<c10d::TCPStore>(environment.master_address, options));
  } catch (const std::exception& error) {
    if (options.isServer) {
      throw Error(ExitCode::kPeerLost,
                  "rank 0 cannot open " + place(environment) +
                      " for the other processes: " + first_line(error.what()),
                  "set MASTER_PORT to a port that is free on this host");
    }
    throw Error(ExitCode::kPeerLost,
                "rank " + std::to_string(environment.rank) + " cannot reach rank 0 at " +
                    place(environment) + ": " + first_line(error.what()),
                "check that rank 0 is running and that this host can reach that address");
  }
}

}  // namespace

Meeting::Meeting(const Environment& environment, double start_seconds)
    : environment_(environment), store_(open_store(environment, start_seconds)) {
  try {
    come_together(start_seconds);
  } catch (const c10::Error& error) {
    throw Error(ExitCode::kPeerLost,
                "the rendezvous of the processes at " + place(environment_) +
                    " was lost: " + first_line(error.what_without_backtrace()),
                "see the messages of rank 0");
  }
}

// Everybody writes where it runs and of how many it was told, and reads what the others wrote.
void Meeting::come_together(double seconds) {
  const Stopwatch stopwatch;
  const int64_t rank = environment_.rank, world = environment_.world;
  // Counted by the store, so that of two processes with one rank the second one notices.
  if (store_->add(key_of("claim/", rank), 1) > 1) {
    throw UsageError(
        "two processes claim to be rank " + std::to_string(rank) + " (" + environment_.found + ")",
        "each needs a rank of its own, from 0 to one less than the world");
  }
  // What each was told is compared by all: processes of two different starts must not mix.
  store_->set(key_of("here/", rank), std::to_string(world) + " " + host_name());
  std::vector<std::string> missing;
  for (int64_t other = 0; other < world; ++other) {
    const std::string key = key_of("here/", other);
    try {
      store_->wait({key}, milliseconds(seconds - stopwatch.seconds()));
    } catch (const std::exception&) {  // the time is over, or the store is lost: then check throws
      if (!store_->check({key})) {
        missing.push_back(std::to_string(other));
        continue;
      }
    }
    const std::string text = store_->get_to_str(key);
    const size_t space = text.find(' ');
    hosts_.push_back(text.substr(space + 1));
    if (text.substr(0, space) != std::to_string(world)) {
      throw UsageError("rank " + std::to_string(other) + " was started as one of " +
                           text.substr(0, space) + " processes, rank " + std::to_string(rank) +
                           " of " + std::to_string(world),
                       "start all of them with one launcher, or set the same WORLD_SIZE for all");
    }
  }
  if (!missing.empty()) {
    throw Error(ExitCode::kPeerLost,
                "not all processes connected to " + place(environment_) + " within " +
                    format_duration(seconds) + ": rank " + join(missing, ", ") + " of " +
                    std::to_string(world) + " did not",
                "see the messages of the missing processes");
  }
}

std::string Meeting::name_of(int64_t rank) const {
  const auto place = static_cast<size_t>(rank);
  return "rank " + std::to_string(rank) +
         (place < hosts_.size() ? " on " + hosts_[place] : std::string());
}

std::optional<std::string> Meeting::ask(const Question& question) {
  const std::lock_guard lock(asking_);
  if (!is_reachable_) return std::nullopt;
  // Until the answer is there: if none comes, nobody asks again, and no further threads are left
  // behind.
  is_reachable_ = false;
  const auto answer = std::make_shared<std::promise<std::string>>();
  std::future<std::string> future = answer->get_future();
  try {
    std::thread([store = store_, question, answer] {
      try {
        answer->set_value(question(*store));
      } catch (...) {
        answer->set_exception(std::current_exception());
      }
    }).detach();
    if (future.wait_for(kAnswerTime) != std::future_status::ready) return std::nullopt;
    std::string text = future.get();
    is_reachable_ = true;
    return text;
  } catch (const std::exception&) {  // a closed connection, or no thread to be had
    return std::nullopt;
  }
}

std::string Meeting::settle(const std::string& cause) {
  // The first cause written is everybody's: what is found later is a consequence of it.
  std::string settled = ask([cause](c10d::Store& store) {
                          return store.compareSet("cause", "", cause);
                        }).value_or(cause);
  is_settled_ = true;
  return settled;
}

std::optional<std::string> Meeting::find_cause() {
  std::optional<std::string> cause = ask([](c10d::Store& store) {
    if (!store.check({"cause"})) return std::string();
    store.add("told", 1);
    return store.get_to_str("cause");
  });
  if (!cause || cause->empty()) return std::nullopt;
  is_settled_ = true;
  return cause;
}

// Who is here and waits: not to be blamed by others.
void Meeting::say_waiting() {
  ask([key = key_of("waits/", environment_.rank)](c10d::Store& store) {
    store.set(key, "yes");
    return std::string();
  });
}

bool Meeting::is_waiting(int64_t rank) {
  return ask([key = key_of("waits/", rank)](c10d::Store& store) {
           return std::string(store.check({key}) ? "yes" : "");
         }) == "yes";
}

// A connection closes where a process crashed, but also where it gave up because of another. One
// that waits itself is a victim, whose error names the cause: it gets more time to write it.
std::string Meeting::why_closed(int64_t peer) {
  const Stopwatch stopwatch;
  say_waiting();
  bool waits = false;
  while (is_reachable_ && stopwatch.seconds() < (waits ? kVictimSeconds : kCauseSeconds)) {
    if (const std::optional<std::string> cause = find_cause()) return *cause;
    waits = waits || is_waiting(peer);
    std::this_thread::sleep_for(kPollTime);
  }
  // The store went with rank 0, which keeps it.
  if (!is_reachable_ && !environment_.agent_store && !keeps_store()) peer = 0;
  return settle(name_of(peer) + " was lost: its connection closed");
}

// The cause where somebody wrote it by now; else whom of `ranks` to blame: who does not wait
// itself.
std::optional<std::string> Meeting::cause_or_blamed(const std::vector<int64_t>& ranks,
                                                    std::vector<std::string>& blamed) {
  const Stopwatch stopwatch;
  say_waiting();
  while (is_reachable_ && stopwatch.seconds() < kLateSeconds) {
    if (std::optional<std::string> cause = find_cause()) return cause;
    std::this_thread::sleep_for(kPollTime);
  }
  for (const int64_t rank : ranks) {
    if (!is_waiting(rank)) blamed.push_back(name_of(rank));
  }
  return std::nullopt;
}

std::string Meeting::names_of(const std::vector<int64_t>& ranks) const {
  std::vector<std::string> names;
  for (const int64_t rank : ranks) names.push_back(name_of(rank));
  return join(names, ", ");
}

std::string Meeting::why_late(const std::vector<int64_t>& missing) {
  std::vector<std::string> blamed;
  if (const auto cause = cause_or_blamed(missing, blamed)) return *cause;
  return settle((blamed.empty() ? names_of(missing) : join(blamed, ", ")) +
                " did not arrive in time");
}

std::string Meeting::why_failed(const std::vector<int64_t>& others, const std::string& what) {
  std::vector<std::string> blamed;
  if (const auto cause = cause_or_blamed(others, blamed)) return *cause;
  // Where some wait, they miss the same ones; the only other one would wait, too.
  if (!blamed.empty() && (blamed.size() < others.size() || others.size() == 1)) {
    return settle(join(blamed, ", ") + " was lost: " + first_line(what));
  }
  return settle("the connection of " + name_of(environment_.rank) + " with " + names_of(others) +
                " failed: " + first_line(what));
}

void Meeting::tell(const std::string& why) {
  settle(name_of(environment_.rank) + " ended: " + first_line(why));
}

// The keeper of the store comes back when `key` was counted up to `count`, or the time is over.
void Meeting::wait_for_count(const char* key, int64_t count, double seconds) {
  const Stopwatch stopwatch;
  while (is_reachable_ && stopwatch.seconds() < seconds) {
    const std::optional<std::string> now =
        ask([key](c10d::Store& store) { return std::to_string(store.add(key, 0)); });
    if (now == std::to_string(count)) return;
    std::this_thread::sleep_for(kPollTime);
  }
}

void Meeting::leave() {
  ask([](c10d::Store& store) { return std::to_string(store.add("left", 1)); });
  // The store ends with its keeper, so that one is the last to leave.
  if (keeps_store()) wait_for_count("left", environment_.world, kLeaveSeconds);
  store_.reset();
}

void Meeting::stay() noexcept {
  if (!is_settled_ || !keeps_store()) return;
  try {
    wait_for_count("told", environment_.world - 1, kCauseStays);
  } catch (const std::exception&) {
  }
}

}  // namespace littlebit
