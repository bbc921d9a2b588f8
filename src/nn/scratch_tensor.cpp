// A tensor of this kind is known by who frees its storage.
#include "littlebit/nn/scratch_tensor.h"

#include <ATen/ops/empty.h>
#include <c10/core/Storage.h>

#include <algorithm>
#include <memory>

#include "littlebit/core/read_file.h"
#include "littlebit/core/scratch_memory.h"

namespace littlebit {
namespace {

void free_scratch(void* memory) { delete static_cast<ScratchMemory*>(memory); }

}  // namespace

at::Tensor scratch_zeros(const std::filesystem::path& folder, const std::vector<int64_t>& sizes,
                         at::ScalarType dtype) {
  int64_t numel = 1;
  for (const int64_t size : sizes) numel *= size;
  const at::TensorOptions options = at::TensorOptions().dtype(dtype);
  if (numel == 0) return at::empty(sizes, options);
  const auto bytes = static_cast<size_t>(numel) * c10::elementSize(dtype);
  auto memory = std::make_unique<ScratchMemory>(folder, bytes);
  void* const data = memory->bytes().data();
  c10::Storage storage(c10::Storage::use_byte_size_t(), bytes,
                       c10::DataPtr(data, memory.release(), &free_scratch, at::kCPU));
  return at::empty({0}, options).set_(storage, 0, sizes);
}

void drop_scratch_pages(const at::Tensor& tensor) {
  if (!tensor.has_storage() || tensor.numel() == 0) return;
  const c10::DataPtr& owner = tensor.storage().data_ptr();
  if (owner.get_deleter() != &free_scratch) return;
  drop_pages({static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()});
}

}  // namespace littlebit
