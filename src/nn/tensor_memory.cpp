// One heap of pages: best fit, neighbours joined. What is given back is kept (its pages stay with
// the process) as long as live and kept bytes together are about the most that was ever live;
// beyond, the longest kept stretches give their pages back and stay as addresses. Those are taken
// only where no kept stretch is long enough: new pages cost time, and kept ones would stay beside.
#include "littlebit/nn/tensor_memory.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>

namespace littlebit {
namespace {

constexpr size_t kLarge = size_t{1} << 16;   // smaller tensors stay with the C library
constexpr size_t kPage = size_t{1} << 12;    // of which blocks are multiples
constexpr size_t kRegion = size_t{1} << 28;  // asked of the system at a time, or what is needed
constexpr size_t kSlack = 8;  // an eighth more is kept: without, pages come and go within each step

// Stretches of addresses that do not touch each other, by place and by length.
class Stretches {
 public:
  // Joined with neighbours that it touches.
  void add(char* begin, size_t size) {
    auto next = by_place_.lower_bound(begin);
    if (next != by_place_.end() && begin + size == next->first) {
      size += next->second;
      next = erase(next);
    }
    if (next != by_place_.begin()) {
      const auto before = std::prev(next);
      if (before->first + before->second == begin) {
        begin = before->first;
        size += before->second;
        erase(before);
      }
    }
    insert(begin, size);
  }

  // Takes out what lies in [begin, begin + size).
  void cut(char* begin, size_t size) {
    char* const end = begin + size;
    auto place = by_place_.upper_bound(begin);
    if (place != by_place_.begin()) --place;
    while (place != by_place_.end() && place->first < end) {
      char* const first = place->first;
      char* const last = first + place->second;
      if (last <= begin) {
        ++place;
        continue;
      }
      place = erase(place);
      if (first < begin) insert(first, static_cast<size_t>(begin - first));
      if (last > end) insert(end, static_cast<size_t>(last - end));
    }
  }

  // The shortest one of at least that size; nullptr where there is none.
  char* best_fit(size_t size) const {
    const auto found = by_size_.lower_bound({size, nullptr});
    return found == by_size_.end() ? nullptr : found->second;
  }

  std::pair<size_t, char*> longest() const { return *by_size_.rbegin(); }
  size_t bytes() const { return bytes_; }

 private:
  using Places = std::map<char*, size_t>;

  void insert(char* begin, size_t size) {
    by_place_[begin] = size;
    by_size_.insert({size, begin});
    bytes_ += size;
  }
  Places::iterator erase(Places::iterator place) {
    by_size_.erase({place->second, place->first});
    bytes_ -= place->second;
    return by_place_.erase(place);
  }

  Places by_place_;
  std::set<std::pair<size_t, char*>> by_size_;
  size_t bytes_ = 0;
};

class PageHeap {
 public:
  // nullptr where the system gives no more.
  char* take(size_t size) {
    size = (size + kPage - 1) / kPage * kPage;
    char* begin = kept_.best_fit(size);
    if (begin == nullptr) {
      if (free_.best_fit(size) == nullptr && !add_region(size)) return nullptr;
      begin = free_.best_fit(size);
    }
    free_.cut(begin, size);
    kept_.cut(begin, size);
    live_[begin] = size;
    live_bytes_ += size;
    most_ = std::max(most_, live_bytes_);
    while (kept_.bytes() > 0 && live_bytes_ + kept_.bytes() > most_ + most_ / kSlack) drop();
    return begin;
  }

  // Whether the block was one of these.
  bool give_back(void* data) {
    const auto found = live_.find(static_cast<char*>(data));
    if (found == live_.end()) return false;
    const auto [begin, size] = *found;
    live_.erase(found);
    live_bytes_ -= size;
    free_.add(begin, size);
    kept_.add(begin, size);
    return true;
  }

  void drop_all() {
    while (kept_.bytes() > 0) drop();
    most_ = live_bytes_;
  }

 private:
  bool add_region(size_t size) {
    for (const size_t asked : {std::max(size, kRegion), size}) {
      void* region =
          mmap(nullptr, asked, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (region == MAP_FAILED) continue;
      free_.add(static_cast<char*>(region), asked);
      return true;
    }
    return false;
  }

  void drop() {
    const auto [size, begin] = kept_.longest();
    madvise(begin, size, MADV_DONTNEED);
    kept_.cut(begin, size);
  }

  Stretches free_, kept_;  // kept: what of it still has pages
  std::unordered_map<char*, size_t> live_;
  size_t live_bytes_ = 0, most_ = 0;  // most: that were live at once, ever or since drop_all()
};

class TensorMemory final : public c10::Allocator {
 public:
  explicit TensorMemory(c10::Allocator* small) : small_(small) {}

  c10::DataPtr allocate(size_t size) override {
    if (size >= kLarge) {
      const std::lock_guard lock(mutex_);
      if (char* data = heap_.take(size)) return {data, data, &release, c10::Device(c10::kCPU)};
    }
    return small_->allocate(size);  // and it knows what to say where memory is full
  }
  void drop_kept() {
    const std::lock_guard lock(mutex_);
    heap_.drop_all();
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t count) const override {
    default_copy_data(to, from, count);
  }

 private:
  static void release(void* data);

  c10::Allocator* small_;
  std::mutex mutex_;
  PageHeap heap_;
};

// Lives as long as the process: tensors may outlive main().
TensorMemory& tensor_memory() {
  static auto* const memory = new TensorMemory(c10::GetCPUAllocator());
  return *memory;
}

void TensorMemory::release(void* data) {
  TensorMemory& memory = tensor_memory();
  {
    const std::lock_guard lock(memory.mutex_);
    if (memory.heap_.give_back(data)) return;
  }
  memory.small_->raw_deallocate(data);
}

}  // namespace

void release_kept_tensor_memory() { tensor_memory().drop_kept(); }

void keep_tensor_memory() {
#ifndef __SANITIZE_ADDRESS__
  constexpr uint8_t kBeforeOthers = 50;
  c10::SetCPUAllocator(&tensor_memory(), kBeforeOthers);
#endif
}

}  // namespace littlebit
