// Memory of a kernel's tensor that ends where nothing may be touched: reading or writing the
// element behind it ends the process (SIGSEGV), with or without a sanitizer.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <span>
#include <stdexcept>

namespace cudasim {

template <class T>
class GuardedBuffer {
 public:
  explicit GuardedBuffer(size_t size, T value = T()) : size_(size) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t pages = (size * sizeof(T) + page - 1) / page + 1;
    bytes_ = pages * page;
    void* memory =
        mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::runtime_error("no memory");
    memory_ = static_cast<char*>(memory);
    char* end = memory_ + bytes_ - page;
    mprotect(end, page, PROT_NONE);
    data_ = reinterpret_cast<T*>(end) - size;
    for (T& element : span()) element = value;
  }
  GuardedBuffer(const GuardedBuffer&) = delete;
  GuardedBuffer& operator=(const GuardedBuffer&) = delete;
  ~GuardedBuffer() { munmap(memory_, bytes_); }

  T* data() { return data_; }
  std::span<T> span() { return {data_, size_}; }
  T& operator[](size_t i) { return data_[i]; }

 private:
  size_t size_, bytes_ = 0;
  char* memory_ = nullptr;
  T* data_ = nullptr;
};

}  // namespace cudasim
