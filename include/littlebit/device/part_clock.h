// Measures how the time of work on a device divides among its parts, without waiting for the
// device: on the CPU by the clock, elsewhere by events in the device's current stream.
#pragma once

#include <c10/core/Device.h>

#include <memory>
#include <vector>

namespace littlebit {

// Parts are numbers from 0 on. One thread; on a GPU all work must be in one stream.
class PartClock {
 public:
  PartClock(c10::Device device, int parts);
  PartClock(PartClock&&) noexcept;
  ~PartClock();

  // Ends what is running and begins `part`. A part may come any number of times.
  void enter(int part);
  // Ends what is running; what follows belongs to no part.
  void pause();
  // Seconds by part since the last call. Ends what is running, and waits for the device.
  std::vector<double> take();

 private:
  struct Marks;
  std::unique_ptr<Marks> marks_;
};

// Waits until everything given to `device` is done. The CPU is always done.
void synchronize(c10::Device device);

}  // namespace littlebit
