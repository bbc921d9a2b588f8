// Memory of the device that a copy reads or writes is let go of when the stream that computes has
// waited for the copy; an entry that was never sent away is read by its copy at most, which nobody
// looks at then.
//
//     forward    push 1, push 2, push 3 (1 leaves the device), push 4 (2 leaves), ...
//     backward   pop L, pop L - 1 (L - 2 is called back), pop L - 2 (L - 3 is called back), ...
#include "host_stack.h"

#include <ATen/ops/empty.h>

#include <utility>

#include "littlebit/core/error.h"
#include "littlebit/device/device.h"

namespace littlebit {
namespace {

// The newest entries stay: the backward pass begins with them, and their copies are the last to
// end.
constexpr size_t kOnDevice = 2;  // entries

bool fits(const at::Tensor& memory, const at::Tensor& values) {
  return memory.defined() && memory.sizes() == values.sizes() &&
         memory.scalar_type() == values.scalar_type();
}

}  // namespace

HostStack::HostStack(at::Device device, bool on_host)
    : device_(device), copies_(on_host && !device_traits(device).is_host), side_(device) {}

HostStack::~HostStack() { clear(); }

void HostStack::clear() {
  while (size_ > 0) {
    Level& level = levels_[--size_];
    if (copies_) level.stored.wait();
    if (std::exchange(level.is_coming, false)) level.arrived.wait();
    level.on_device = {};
    level.is_away = false;
  }
}

void HostStack::store(Level& level) const {
  for (size_t i = 0; i < level.on_device.size(); ++i) {
    const at::Tensor& values = level.on_device[i];
    level.is_used[i] = values.defined();
    // The host's memory is kept from step to step, and taken anew only where shapes or types
    // change.
    if (!values.defined() || fits(level.on_host[i], values)) continue;
    level.on_host[i] =
        at::empty(values.sizes(), at::TensorOptions()
                                      .dtype(values.scalar_type())
                                      .pinned_memory(device_traits(device_).pins_host_memory));
  }
  // The side stream may read what the computing stream has made only after this point of it.
  level.given.set();
  side_.run([&] {
    level.given.wait();
    for (size_t i = 0; i < level.on_device.size(); ++i) {
      if (level.is_used[i]) level.on_host[i].copy_(level.on_device[i], /*non_blocking=*/true);
    }
    level.stored.set();
  });
}

void HostStack::send_away(Level& level) const {
  // The computing stream waits for the copy, not the host: memory freed now is handed out again to
  // that stream alone.
  level.stored.wait();
  level.on_device = {};
  level.is_away = true;
}

void HostStack::bring_back(Level& level) const {
  for (size_t i = 0; i < level.on_host.size(); ++i) {
    if (!level.is_used[i]) continue;
    level.on_device[i] =
        at::empty(level.on_host[i].sizes(),
                  at::TensorOptions().dtype(level.on_host[i].scalar_type()).device(device_));
  }
  level.given.set();  // the memory may have been another tensor's
  side_.run([&] {
    level.given.wait();
    for (size_t i = 0; i < level.on_host.size(); ++i) {
      if (level.is_used[i]) level.on_device[i].copy_(level.on_host[i], /*non_blocking=*/true);
    }
    level.arrived.set();
  });
  level.is_away = false;
  level.is_coming = true;
}

void HostStack::push(Entry entry) {
  if (size_ == levels_.size()) levels_.emplace_back(device_);
  Level& level = levels_[size_++];
  level.on_device = std::move(entry);
  if (!copies_) return;
  store(level);
  if (size_ > kOnDevice) send_away(levels_[size_ - 1 - kOnDevice]);
}

HostStack::Entry HostStack::pop() {
  LB_ASSERT(size_ > 0, "what is taken was put there");
  Level& level = levels_[--size_];
  // In a step it is on its way already: the pop before called for it.
  if (level.is_away) bring_back(level);
  if (std::exchange(level.is_coming, false)) level.arrived.wait();
  Entry entry = std::exchange(level.on_device, {});
  // While the caller runs this block backwards, the next one's entry comes.
  if (size_ > 0 && levels_[size_ - 1].is_away) bring_back(levels_[size_ - 1]);
  return entry;
}

}  // namespace littlebit
