// A mark at each change of part; what lies between two marks is that part's.
#include "littlebit/device/part_clock.h"

#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <chrono>

namespace littlebit {
namespace {

constexpr int kNoPart = -1;
using Clock = std::chrono::steady_clock;

// An event where the device works behind the program's back, a time where it does not.
struct Mark {
  int part;
  Clock::time_point time;
  std::unique_ptr<c10::Event> event;
};

double seconds_between(const Mark& a, const Mark& b) {
  if (a.event) return a.event->elapsedTime(*b.event) * 1e-3;
  return std::chrono::duration<double>(b.time - a.time).count();
}

}  // namespace

struct PartClock::Marks {
  c10::Device device;
  int parts;
  std::vector<Mark> list;

  void add(int part) {
    Mark mark{.part = part, .time = Clock::now(), .event = nullptr};
    if (!device.is_cpu()) {
      mark.event = std::make_unique<c10::Event>(device.type(), c10::EventFlag::BACKEND_DEFAULT);
      mark.event->record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
    }
    list.push_back(std::move(mark));
  }
};

PartClock::PartClock(c10::Device device, int parts) : marks_(new Marks{device, parts, {}}) {}
PartClock::PartClock(PartClock&&) noexcept = default;
PartClock::~PartClock() = default;

void PartClock::enter(int part) { marks_->add(part); }

void PartClock::pause() { marks_->add(kNoPart); }

std::vector<double> PartClock::take() {
  pause();
  synchronize(marks_->device);
  std::vector<double> seconds(static_cast<size_t>(marks_->parts));
  const std::vector<Mark>& list = marks_->list;
  for (size_t i = 0; i + 1 < list.size(); ++i) {
    if (list[i].part == kNoPart) continue;
    seconds.at(static_cast<size_t>(list[i].part)) += seconds_between(list[i], list[i + 1]);
  }
  marks_->list.clear();
  return seconds;
}

void synchronize(c10::Device device) {
  if (device.is_cpu()) return;
  c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
}

}  // namespace littlebit
