// What is kept in a nameless file: it stays when its pages go, the folder shows nothing of it, and
// ordinary tensors are left alone.
#include "littlebit/nn/scratch_tensor.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "littlebit/core/error.h"
#include "temp_folder.h"

namespace littlebit {
namespace {

TEST_CASE("a scratch tensor keeps what it holds, and its folder stays empty") {
  const TempFolder folder;
  const at::Tensor tensor = scratch_zeros(folder.path(), {3, 5000}, at::kFloat);
  CHECK(at::equal(tensor, at::zeros({3, 5000})));
  const at::Tensor values = at::randn({3, 5000});
  tensor.copy_(values);
  drop_scratch_pages(tensor);
  CHECK(at::equal(tensor, values));
  drop_scratch_pages(tensor[1]);
  CHECK(at::equal(tensor, values));
  CHECK(std::filesystem::is_empty(folder.path()));
  CHECK(scratch_zeros(folder.path(), {0}, at::kFloat).numel() == 0);
}

TEST_CASE("dropping the pages of another tensor does nothing to it") {
  const at::Tensor ordinary = at::ones({100000});
  drop_scratch_pages(ordinary);
  drop_scratch_pages(at::Tensor(at::empty({0})));
  CHECK(ordinary.sum().item<double>() == 100000);
}

TEST_CASE("a scratch tensor's pages are not the process's memory once they are dropped") {
  const auto resident = [] {
    int64_t pages = 0, in_memory = 0;
    std::ifstream("/proc/self/statm") >> pages >> in_memory;
    return in_memory;
  };
  const TempFolder folder;
  const at::Tensor tensor = scratch_zeros(folder.path(), {1 << 24}, at::kFloat);
  const int64_t before = resident();
  tensor.fill_(1);
  const int64_t full = resident();
  drop_scratch_pages(tensor);
  CHECK(full - before > (1 << 13));  // of 2^14 pages of 4 KiB
  CHECK(resident() - before < (1 << 11));
  CHECK(tensor[5].item<float>() == 1);
}

TEST_CASE("a scratch tensor that finds no folder or no room is an OutputError") {
  const TempFolder folder;
  CHECK_THROWS_AS(scratch_zeros(folder / "missing", {8}, at::kFloat), OutputError);
  CHECK_THROWS_AS(scratch_zeros(folder.path(), {int64_t{1} << 50}, at::kFloat), OutputError);
}

}  // namespace
}  // namespace littlebit
