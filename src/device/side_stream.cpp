// LibTorch's streams and events, by the guard of the device's kind: no header of CUDA is needed.
#include "littlebit/device/side_stream.h"

#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace littlebit {

struct StreamMark::Event {
  c10::Event event;
};

StreamMark::StreamMark(c10::Device device) : device_(device) {
  if (device.is_cpu()) return;
  event_ =
      std::make_unique<Event>(Event{c10::Event(device.type(), c10::EventFlag::PYTORCH_DEFAULT)});
}
StreamMark::StreamMark(StreamMark&&) noexcept = default;
StreamMark& StreamMark::operator=(StreamMark&&) noexcept = default;
StreamMark::~StreamMark() = default;

void StreamMark::set() {
  if (!event_) return;
  event_->event.record(c10::impl::VirtualGuardImpl(device_.type()).getStream(device_));
}

void StreamMark::wait() const {
  if (!event_ || !event_->event.was_marked_for_recording()) return;
  event_->event.block(c10::impl::VirtualGuardImpl(device_.type()).getStream(device_));
}

void StreamMark::wait_on_host() const {
  if (event_ && event_->event.was_marked_for_recording()) event_->event.synchronize();
}

struct SideStream::Stream {
  c10::Stream stream;
};

SideStream::SideStream(c10::Device device) {
  if (device.is_cpu()) return;
  stream_ = std::make_unique<Stream>(
      Stream{c10::impl::VirtualGuardImpl(device.type()).getNewStream(device)});
}
SideStream::~SideStream() = default;

void SideStream::run(const std::function<void()>& work) const {
  if (!stream_) return work();
  const c10::StreamGuard guard(stream_->stream);
  work();
}

}  // namespace littlebit
