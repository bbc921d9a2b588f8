// A device that is not the CPU, for tests of code that should run on any: LibTorch's PrivateUse1
// with memory of its own. An operation on it is done by the CPU's kernel on copies, so results are
// the CPU's; but the memory is out of bounds (a segmentation fault) for code of ours that reads it
// through a pointer, and tensors of the two devices do not mix, as on a GPU. Include in one file of
// a test program.
#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/core/Tensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <sys/mman.h>
#include <torch/library.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace littlebit::test {

inline constexpr at::DeviceType kOther = at::DeviceType::PrivateUse1;

// Tensors point into a stretch of address space that is closed for good; what they hold lies at the
// same place of a second one.
class OtherMemory {
 public:
  static OtherMemory& get() {
    static OtherMemory memory;
    return memory;
  }
  void* allocate(size_t bytes) {
    const std::lock_guard lock(mutex_);
    const size_t size = rounded(bytes);
    alive_ += static_cast<int64_t>(size);
    peak_ = std::max(peak_, alive_);
    if (std::vector<char*>& old = free_[size]; !old.empty()) {
      char* piece = old.back();
      old.pop_back();
      return piece;
    }
    if (used_ + size > kBytes) throw std::runtime_error("the other device's memory is full");
    used_ += size;
    return base_ + used_ - size;
  }
  void free(void* piece, size_t bytes) {
    const std::lock_guard lock(mutex_);
    free_[rounded(bytes)].push_back(static_cast<char*>(piece));
    alive_ -= static_cast<int64_t>(rounded(bytes));
  }
  int64_t alive() const { return alive_; }
  int64_t peak() const { return peak_; }
  void reset_peak() { peak_ = alive_; }
  static void* content(void* address) { return static_cast<char*>(address) + kBytes; }

 private:
  static constexpr size_t kBytes = size_t{1} << 30;
  static size_t rounded(size_t bytes) { return (bytes + 63) / 64 * 64; }
  OtherMemory()
      : base_(static_cast<char*>(mmap(nullptr, 2 * kBytes, PROT_NONE,
                                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))) {
    mprotect(base_ + kBytes, kBytes, PROT_READ | PROT_WRITE);
  }
  std::mutex mutex_;
  char* base_;
  size_t used_ = 0;
  int64_t alive_ = 0, peak_ = 0;
  std::map<size_t, std::vector<char*>> free_;
};

class OtherAllocator : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    auto* piece = new Piece{OtherMemory::get().allocate(bytes), bytes};
    return {piece->memory, piece, &release, at::Device(kOther, 0)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void*, const void*, size_t) const override {
    throw std::runtime_error("the other device copies tensors, not bytes");
  }

 private:
  struct Piece {
    void* memory;
    size_t bytes;
  };
  static void release(void* context) {
    auto* piece = static_cast<Piece*>(context);
    OtherMemory::get().free(piece->memory, piece->bytes);
    delete piece;
  }
};

inline OtherAllocator* other_allocator() {
  static OtherAllocator allocator;
  return &allocator;
}

inline at::Tensor other_empty(c10::SymIntArrayRef size, std::optional<at::ScalarType> dtype,
                              std::optional<at::Layout>, std::optional<at::Device>,
                              std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(C10_AS_INTARRAYREF_SLOW(size), other_allocator(),
                                   c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                   dtype.value_or(at::kFloat), format);
}

inline at::Tensor other_empty_strided(c10::SymIntArrayRef size, c10::SymIntArrayRef stride,
                                      std::optional<at::ScalarType> dtype,
                                      std::optional<at::Layout>, std::optional<at::Device>,
                                      std::optional<bool>) {
  return at::detail::empty_strided_generic(
      C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride), other_allocator(),
      c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), dtype.value_or(at::kFloat));
}

// The tensor itself, or the other device's memory as a tensor of the CPU.
inline at::Tensor on_cpu(const at::Tensor& t) {
  if (t.is_cpu()) return t;
  char* address =
      static_cast<char*>(t.storage().mutable_data()) + t.storage_offset() * t.itemsize();
  return at::from_blob(OtherMemory::content(address), t.sizes(), t.strides(),
                       at::TensorOptions().dtype(t.scalar_type()));
}

// The default stream, 0, does everything at once. So does every other one, unless it is late: its
// copies are then made when somebody waits for them, with what stands in the device's memory by
// then. Streams but the default one share a queue.
class OtherStreams {
 public:
  static OtherStreams& get() {
    static OtherStreams streams;
    return streams;
  }
  static inline thread_local c10::StreamId current = 0;
  static inline bool late = false;

  void add(std::function<void()> work) {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(work));
    ++given_;
  }
  int64_t given() {
    const std::lock_guard lock(mutex_);
    return given_;
  }
  // Whether there was something to do until then.
  bool finish(int64_t given) {
    const std::lock_guard lock(mutex_);
    const bool pending = done_ < given;
    for (; done_ < given; ++done_) {
      waiting_.front()();
      waiting_.pop_front();
    }
    return pending;
  }

 private:
  std::mutex mutex_;
  std::deque<std::function<void()>> waiting_;
  int64_t given_ = 0, done_ = 0;
};

// How often a GPU would have made its host wait: numbers read from the device, copies to or from it
// that do not say non_blocking. What stands in for the device's own kernels does not count.
inline int64_t host_waits = 0;
inline bool is_in_a_kernel = false;
inline void count_wait() { host_waits += is_in_a_kernel ? 0 : 1; }

inline at::Tensor other_copy_from(const at::Tensor& from, const at::Tensor& to, bool non_blocking) {
  if (!non_blocking && from.device() != to.device()) count_wait();
  if (OtherStreams::late && OtherStreams::current != 0) {
    // The host's memory waits for its copies, the device's does not.
    OtherStreams::get().add([there = on_cpu(to), here = on_cpu(from)] { there.copy_(here); });
  } else {
    on_cpu(to).copy_(on_cpu(from));
  }
  return to;
}

inline at::Tensor other_copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  if (to.sizes() != from.sizes()) {  // results of an operation that were not sized before
    const at::Tensor sized =
        other_empty(c10::fromIntArrayRefSlow(from.sizes()), to.scalar_type(), {}, {}, {}, {});
    to.unsafeGetTensorImpl()->set_storage_keep_dtype(sized.storage());
    to.unsafeGetTensorImpl()->set_sizes_contiguous(from.sizes());
  }
  return other_copy_from(from, to, false);
}

inline at::Tensor other_view(const at::Tensor& self, c10::SymIntArrayRef size) {
  return at::native::view(self, C10_AS_INTARRAYREF_SLOW(size));
}

inline at::Tensor other_as_strided(const at::Tensor& self, c10::SymIntArrayRef size,
                                   c10::SymIntArrayRef stride, std::optional<c10::SymInt> offset) {
  return at::native::as_strided_tensorimpl(
      self, C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride),
      offset ? std::optional<int64_t>(offset->expect_int()) : std::nullopt);
}

inline at::Tensor other_reshape_alias(const at::Tensor& self, c10::SymIntArrayRef size,
                                      c10::SymIntArrayRef stride) {
  return at::native::_reshape_alias(self, C10_AS_INTARRAYREF_SLOW(size),
                                    C10_AS_INTARRAYREF_SLOW(stride));
}

// Operations whose result, or its size, the host must know.
inline bool reads_numbers(const std::string& operation) {
  for (const char* name : {"aten::_local_scalar_dense", "aten::equal", "aten::nonzero",
                           "aten::masked_select", "aten::_unique2", "aten::bincount"}) {
    if (operation == name) return true;
  }
  return false;
}

inline void other_by_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  if (reads_numbers(op.operator_name().name)) count_wait();
  const bool was_in_a_kernel = std::exchange(is_in_a_kernel, true);
  at::native::cpu_fallback(op, stack, /*error_on_views=*/true);
  is_in_a_kernel = was_in_a_kernel;
}

struct OtherHooks : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override {
    return at::detail::getDefaultCPUGenerator();
  }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
};

// An event is the number of works that were given to late streams when it was recorded in one.
struct OtherGuard : c10::impl::NoOpDeviceGuardImpl<at::DeviceType::PrivateUse1> {
  at::Device exchangeDevice(at::Device) const override { return at::Device(kOther, 0); }
  at::Device getDevice() const override { return at::Device(kOther, 0); }
  c10::Stream getStream(at::Device device) const noexcept override {
    return c10::Stream(c10::Stream::UNSAFE, device, OtherStreams::current);
  }
  c10::Stream getNewStream(at::Device device, int) const override {
    return c10::Stream(c10::Stream::UNSAFE, device, 1);
  }
  c10::Stream exchangeStream(c10::Stream stream) const noexcept override {
    return c10::Stream(c10::Stream::UNSAFE, stream.device(),
                       std::exchange(OtherStreams::current, stream.id()));
  }
  void record(void** event, const c10::Stream& stream, c10::DeviceIndex,
              c10::EventFlag) const override {
    if (*event == nullptr) *event = new int64_t;
    *static_cast<int64_t*>(*event) = stream.id() == 0 ? 0 : OtherStreams::get().given();
  }
  void block(void* event, const c10::Stream&) const override {
    OtherStreams::get().finish(*static_cast<int64_t*>(event));
  }
  bool queryEvent(void*) const override { return true; }
  void synchronizeEvent(void* event) const override {
    if (OtherStreams::get().finish(*static_cast<int64_t*>(event))) count_wait();
  }
  void destroyEvent(void* event, c10::DeviceIndex) const noexcept override {
    delete static_cast<int64_t*>(event);
  }
  void recordDataPtrOnStream(const c10::DataPtr&, const c10::Stream&) const override {}
};

// Call once before use.
inline at::Device other_device() {
  static const bool ready = [] {
    static OtherHooks hooks;
    c10::register_privateuse1_backend("other");
    at::RegisterPrivateUse1HooksInterface(&hooks);
    return true;
  }();
  (void)ready;
  return at::Device(kOther, 0);
}

C10_REGISTER_GUARD_IMPL(PrivateUse1, OtherGuard);

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", TORCH_FN(other_empty));
  library.impl("empty_strided", TORCH_FN(other_empty_strided));
  library.impl("_copy_from", TORCH_FN(other_copy_from));
  library.impl("_copy_from_and_resize", TORCH_FN(other_copy_from_and_resize));
  library.impl("view", TORCH_FN(other_view));
  library.impl("as_strided", TORCH_FN(other_as_strided));
  library.impl("_reshape_alias", TORCH_FN(other_reshape_alias));
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&other_by_cpu>());
}

}  // namespace littlebit::test
