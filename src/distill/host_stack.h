// Tensors of a device that wait in its host's memory until they are needed again.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <vector>

#include "littlebit/device/side_stream.h"

namespace littlebit {

// What came last leaves first. Copies run beside the device's work, and the host waits for none of
// them. The two newest entries are on the device as well, and an entry is on its way back while the
// one above it is used. The host's memory is kept for the next time.
class HostStack {
 public:
  using Entry = std::array<at::Tensor, 2>;  // undefined ones are left out

  // Without `on_host`, and on the CPU, tensors stay where they are.
  HostStack(at::Device device, bool on_host);
  ~HostStack();

  void push(Entry entry);
  Entry pop();
  void clear();

 private:
  struct Level {
    explicit Level(at::Device device) : given(device), stored(device), arrived(device) {}
    Entry on_device, on_host;
    std::array<bool, 2> is_used = {};  // of an entry's tensors
    bool is_away = false, is_coming = false;
    StreamMark given;            // in the stream that computes: a copy may begin
    StreamMark stored, arrived;  // in the side stream
  };
  void store(Level& level) const;
  void send_away(Level& level) const;
  void bring_back(Level& level) const;

  at::Device device_;
  bool copies_;
  SideStream side_;
  std::vector<Level> levels_;
  size_t size_ = 0;
};

}  // namespace littlebit
