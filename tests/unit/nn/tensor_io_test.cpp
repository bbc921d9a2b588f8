// safetensors bytes <-> tensors: every type, alignment, damage.
#include "littlebit/nn/tensor_io.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <limits>

#include "littlebit/core/error.h"
#include "littlebit/io/safetensors_writer.h"
#include "temp_folder.h"

namespace littlebit {
namespace {

constexpr at::ScalarType kAllTypes[] = {at::kBool,  at::kByte,  at::kChar, at::kShort,
                                        at::kInt,   at::kLong,  at::kHalf, at::kBFloat16,
                                        at::kFloat, at::kDouble};

TensorView view_of(const at::Tensor& tensor) {
  return {"t",
          dtype_of(tensor.scalar_type()),
          tensor.sizes().vec(),
          {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()}};
}

TEST_CASE("every type survives a file") {
  const TempFolder folder;
  const auto file = folder / "t.safetensors";
  {
    SafetensorsWriter writer(file);
    for (const at::ScalarType type : kAllTypes)
      writer.declare(c10::toString(type), dtype_of(type), {2, 3});
    writer.declare("scalar", Dtype::kF32, {});
    for (const at::ScalarType type : kAllTypes) {
      write_tensor(writer, at::arange(6).reshape({3, 2}).t().to(type));  // not contiguous
    }
    write_tensor(writer, at::ones({}));
    writer.commit();
  }
  const SafetensorsFile read(file);
  for (const at::ScalarType type : kAllTypes) {
    CHECK(scalar_type(dtype_of(type)) == type);
    const at::Tensor got = map_tensor(*read.find(c10::toString(type)));
    CHECK(got.scalar_type() == type);
    CHECK(at::equal(got, at::arange(6).reshape({3, 2}).t().to(type)));
  }
  CHECK(map_tensor(*read.find("scalar")).item<double>() == 1);
}

TEST_CASE("types without an ATen type are refused by name") {
  CHECK_THROWS_WITH(scalar_type(Dtype::kU16), Catch::Contains("U16"));
  CHECK_THROWS_AS(scalar_type(Dtype::kU64), InputError);
  const std::byte bytes[2] = {};
  const TensorView eight_bits{
      .name = "w", .dtype = Dtype::kOther, .shape = {2}, .data = bytes, .other = "F8_E4M3"};
  CHECK_THROWS_WITH(map_tensor(eight_bits), Catch::Contains("'w' holds F8_E4M3"));
}

TEST_CASE("a mapped tensor is the file's own bytes unless they are misaligned") {
  std::vector<float> values = {0, 1, 2, 3};
  const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
  const TensorView aligned{"a", Dtype::kF32, {3}, {bytes + 4, 12}};
  CHECK(map_tensor(aligned).const_data_ptr() == bytes + 4);
  CHECK(load_tensor(aligned, at::kFloat, at::kCPU, "f").const_data_ptr() == bytes + 4);
  CHECK(load_tensor(aligned, at::kDouble, at::kCPU, "f")[2].item<double>() == 3);

  std::vector<std::byte> shifted(13);
  std::memcpy(shifted.data() + 1, values.data() + 1, 12);
  const TensorView misaligned{"m", Dtype::kF32, {3}, {shifted.data() + 1, 12}};
  const at::Tensor copy = map_tensor(misaligned);
  CHECK(reinterpret_cast<uintptr_t>(copy.const_data_ptr()) % 4 == 0);
  CHECK(at::equal(copy, map_tensor(aligned)));
}

TEST_CASE("NaN and infinity are refused with the tensor's name") {
  for (const at::ScalarType type : {at::kHalf, at::kBFloat16, at::kFloat, at::kDouble}) {
    for (const double bad :
         {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
          -std::numeric_limits<double>::infinity()}) {
      const at::Tensor tensor = at::zeros({1000}, type);
      CHECK_NOTHROW(load_tensor(view_of(tensor), at::kFloat, at::kCPU, "f"));
      tensor[617] = bad;
      CHECK_THROWS_WITH(load_tensor(view_of(tensor), at::kFloat, at::kCPU, "f.st"),
                        Catch::Contains("f.st: tensor 't'"));
    }
  }
}

TEST_CASE("an empty tensor loads") {
  CHECK(load_tensor(view_of(at::empty({0, 4})), at::kBFloat16, at::kCPU, "f").sizes() ==
        at::IntArrayRef({0, 4}));
}

}  // namespace
}  // namespace littlebit
