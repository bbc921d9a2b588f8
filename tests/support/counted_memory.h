// Bytes of tensors alive, counted where ATen takes its memory on the CPU: exact, unlike what the
// system says, and blind to what is mapped from a file.
#pragma once

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <unordered_map>

namespace littlebit::test {

// Stands before ATen's allocator from the first use to the end of the program; only tensors made
// since then are counted.
class CountingAllocator final : public c10::Allocator {
 public:
  static CountingAllocator& instance() {
    static auto* const allocator = [] {
      auto* made = new CountingAllocator(c10::GetCPUAllocator());  // tensors may outlive main()
      c10::SetCPUAllocator(made, 100);
      return made;
    }();
    return *allocator;
  }

  c10::DataPtr allocate(size_t size) override {
    void* data = inner_->raw_allocate(size);
    const std::lock_guard lock(mutex_);
    sizes_[data] = static_cast<int64_t>(size);
    alive_ += static_cast<int64_t>(size);
    peak_ = std::max(peak_, alive_);
    return {data, data, &release, c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t count) const override {
    default_copy_data(to, from, count);
  }

  int64_t alive() const { return alive_; }
  int64_t peak() const { return peak_; }
  void reset_peak() { peak_ = alive_; }

 private:
  explicit CountingAllocator(c10::Allocator* inner) : inner_(inner) {}

  static void release(void* data) {
    CountingAllocator& self = instance();
    {
      const std::lock_guard lock(self.mutex_);
      const auto found = self.sizes_.find(data);
      if (found != self.sizes_.end()) {
        self.alive_ -= found->second;
        self.sizes_.erase(found);
      }
    }
    self.inner_->raw_deallocate(data);
  }

  c10::Allocator* inner_;
  mutable std::mutex mutex_;
  std::unordered_map<void*, int64_t> sizes_;
  int64_t alive_ = 0, peak_ = 0;
};

}  // namespace littlebit::test
