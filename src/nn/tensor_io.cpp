// safetensors views as tensors. A loaded tensor has been looked at once: no NaN or infinity gets
// past this file.
#include "littlebit/nn/tensor_io.h"

#include <ATen/ops/aminmax.h>
#include <ATen/ops/from_blob.h>

#include <cmath>
#include <cstdint>
#include <utility>

#include "littlebit/core/error.h"
#include "littlebit/core/read_file.h"
#include "littlebit/io/safetensors_writer.h"

namespace littlebit {
namespace {

constexpr std::pair<Dtype, at::ScalarType> kTypes[] = {
    {Dtype::kBool, at::kBool}, {Dtype::kU8, at::kByte},       {Dtype::kI8, at::kChar},
    {Dtype::kI16, at::kShort}, {Dtype::kI32, at::kInt},       {Dtype::kI64, at::kLong},
    {Dtype::kF16, at::kHalf},  {Dtype::kBF16, at::kBFloat16}, {Dtype::kF32, at::kFloat},
    {Dtype::kF64, at::kDouble}};

}  // namespace

bool all_finite(const at::Tensor& x) {
  if (x.numel() == 0) return true;
  const auto [low, high] = at::aminmax(x);  // one pass, no temporary; passes NaN on
  return std::isfinite(low.item<double>()) && std::isfinite(high.item<double>());
}

at::ScalarType scalar_type(Dtype dtype) {
  for (const auto& [ours, theirs] : kTypes) {
    if (ours == dtype) return theirs;
  }
  throw InputError(std::string("tensors of type ") + dtype_name(dtype) + " are not supported",
                   "store the tensor as one of BOOL, U8, I8, I16, I32, I64, F16, BF16, F32, F64");
}

Dtype dtype_of(at::ScalarType type) {
  for (const auto& [ours, theirs] : kTypes) {
    if (theirs == type) return ours;
  }
  LB_ASSERT(false, std::string("safetensors has no type for ") + c10::toString(type));
}

at::Tensor map_tensor(const TensorView& view) {
  if (view.dtype == Dtype::kOther) {
    throw InputError(
        "tensor '" + view.name + "' holds " + view.dtype_text() + ", a type that is not supported",
        "store the tensor as one of BOOL, U8, I8, I16, I32, I64, F16, BF16, F32, F64");
  }
  const at::ScalarType type = scalar_type(view.dtype);
  // from_blob wants a mutable pointer; the bytes are read-only by contract.
  auto* data = const_cast<std::byte*>(view.data.data());
  const at::Tensor tensor = at::from_blob(data, view.shape, at::TensorOptions().dtype(type));
  const bool aligned = reinterpret_cast<uintptr_t>(data) % dtype_size(view.dtype) == 0;
  if (aligned || view.numel() == 0) return tensor;
  const auto bytes = at::from_blob(data, {static_cast<int64_t>(view.data.size())}, at::kByte);
  return bytes.clone().view(type).view(view.shape);
}

at::Tensor load_tensor(const TensorView& view, at::ScalarType dtype, at::Device device,
                       const std::string& where) {
  const at::Tensor mapped = map_tensor(view);
  const at::Tensor tensor = mapped.to(at::TensorOptions().dtype(dtype).device(device));
  if (!tensor.is_alias_of(mapped)) drop_pages(view.data);  // the copy is what is used from now on
  if (at::isFloatingType(dtype) && !all_finite(tensor)) {
    throw InputError(where + ": tensor '" + view.name + "' holds NaN or infinite values",
                     "the file is damaged, or the model's training diverged; take another copy");
  }
  return tensor;
}

void write_tensor(SafetensorsWriter& writer, const at::Tensor& tensor) {
  const at::Tensor bytes = tensor.to(at::kCPU).contiguous();
  writer.write({static_cast<const std::byte*>(bytes.const_data_ptr()), bytes.nbytes()});
}

}  // namespace littlebit
