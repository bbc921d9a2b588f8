// One sum for the process: operations of all its communicators, from any thread.
#include "littlebit/distributed/waiting.h"

#include <atomic>

#include "distributed/waiting.h"

namespace littlebit {
namespace {

std::atomic<double> g_waited{0};

}  // namespace

Waiting::~Waiting() { g_waited.fetch_add(stopwatch.seconds()); }

double seconds_waited() { return g_waited.load(); }

}  // namespace littlebit
