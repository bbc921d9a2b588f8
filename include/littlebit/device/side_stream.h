// Copies that run while a device computes: a second stream of it, and marks by which streams wait
// for each other without the host. The CPU does everything at once, in order; there neither does
// anything.
#pragma once

#include <c10/core/Device.h>

#include <functional>
#include <memory>

namespace littlebit {

// A place in a stream of the device. set() and the waits may be in different threads, one at a
// time.
class StreamMark {
 public:
  explicit StreamMark(c10::Device device);
  StreamMark(StreamMark&&) noexcept;
  StreamMark& operator=(StreamMark&&) noexcept;
  ~StreamMark();

  void set();  // behind everything that the thread's current stream was given
  // The thread's current stream goes on when what is before the mark is done, as the host does.
  // At once where the mark was never set.
  void wait() const;
  void wait_on_host() const;

 private:
  struct Event;
  c10::Device device_;
  std::unique_ptr<Event> event_;
};

class SideStream {
 public:
  explicit SideStream(c10::Device device);
  ~SideStream();

  // Does `work` with this as the thread's current stream. Any thread.
  void run(const std::function<void()>& work) const;

 private:
  struct Stream;
  std::unique_ptr<Stream> stream_;  // null on the CPU
};

}  // namespace littlebit
