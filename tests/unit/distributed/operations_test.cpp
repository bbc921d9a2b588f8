// Every operation between 1 to 4 processes, in every type, on slices of every kind, against sums
// that each process takes itself.
#include <ATen/ATen.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>

#include "littlebit/core/read_file.h"
#include "littlebit/core/write_file.h"
#include "littlebit/distributed/planned_communicator.h"
#include "processes.h"

using namespace littlebit;
using test::Process;
using test::require;
using test::run_processes;

namespace {

constexpr at::ScalarType kTypes[] = {at::kDouble, at::kFloat, at::kBFloat16,
                                     at::kLong,   at::kInt,   at::kByte};

// What process `rank` gives: numbers that no other has, large ones of both signs among them.
at::Tensor summand(int64_t rank, int64_t n, at::ScalarType type) {
  at::Tensor x = at::arange(n, at::kDouble).mul_(0.618034 + 0.1 * static_cast<double>(rank));
  x.frac_().sub_(0.5).mul_(at::isFloatingType(type) ? 6.0 + static_cast<double>(rank) : 200.0);
  return type == at::kByte ? x.abs_().to(type) : x.to(type);
}

// The sum as the contract has it: in the order of ranks, bf16 in fp32. And how far it may be from
// the sum in fp64 of what was given.
at::Tensor sum_in_order(int64_t world, int64_t n, at::ScalarType type) {
  const at::ScalarType wide = type == at::kBFloat16 ? at::kFloat : type;
  at::Tensor sum = summand(0, n, type).to(wide);
  for (int64_t r = 1; r < world; ++r) sum.add_(summand(r, n, type));
  return sum.to(type);
}

at::Tensor sum_in_fp64(int64_t world, int64_t n, at::ScalarType type) {
  at::Tensor sum = at::zeros({n}, at::kDouble);
  for (int64_t r = 0; r < world; ++r) sum.add_(summand(r, n, type).to(at::kDouble));
  return sum;
}

// Sums of up to 4 numbers below 7: some units in the last place of 28. Integers of a byte wrap.
void check_sum(const at::Tensor& got, const at::Tensor& in_order, const at::Tensor& in_fp64,
               const std::string& where) {
  const at::ScalarType type = got.scalar_type();
  require(at::equal(got, in_order), where + ": not the sum in the order of ranks");
  if (got.numel() == 0 || type == at::kByte) return;
  const double wrong = (got.to(at::kDouble) - in_fp64).abs().max().item<double>();
  const double allowed = type == at::kDouble     ? 2e-14
                         : type == at::kFloat    ? 1e-5
                         : type == at::kBFloat16 ? 0.07
                                                 : 0;
  require(wrong <= allowed, where + ": off by " + std::to_string(wrong));
}

struct Case {
  int64_t n, each;
};

// Even ones, a shorter last one, empty last ones, one that has all; with `each` from one element on
// to several pieces of a message.
std::vector<Case> cases(int64_t world) {
  std::vector<Case> all = {
      {world, 1}, {128 * world, 128}, {128 * world - 5, 128},    {128, 128}, {5, 7},
      {0, 1},     {128 + 1, 128},     {world * 1000 - 999, 1000}};
  return all;
}

std::string name(const char* operation, at::ScalarType type, const Case& c) {
  return std::string(operation) + " " + c10::toString(type) + " n=" + std::to_string(c.n) +
         " each=" + std::to_string(c.each);
}

void check_case(Process& process, at::ScalarType type, const Case& c) {
  Communicator& communicator = *process.communicator;
  const int64_t world = communicator.world(), rank = communicator.rank();
  if (c.each * world < c.n) return;
  const int64_t begin = std::min(rank * c.each, c.n), end = std::min((rank + 1) * c.each, c.n);
  const at::Tensor in_order = sum_in_order(world, c.n, type),
                   in_fp64 = sum_in_fp64(world, c.n, type);

  at::Tensor values = summand(rank, c.n, type);
  communicator.all_reduce_sum(values);
  check_sum(values, in_order, in_fp64, name("all_reduce_sum", type, c));

  values = summand(rank, c.n, type);
  const at::Tensor slice = communicator.reduce_scatter_sum(values, begin, end);
  require(slice.numel() == end - begin, "the slice's size");
  check_sum(slice, in_order.narrow(0, begin, end - begin), in_fp64.narrow(0, begin, end - begin),
            name("reduce_scatter_sum", type, c));

  at::Tensor all = at::zeros({c.n}, at::TensorOptions().dtype(type));
  all.narrow(0, begin, end - begin).copy_(in_order.narrow(0, begin, end - begin));
  communicator.all_gather(all, begin, end);
  require(at::equal(all, in_order), name("all_gather", type, c));

  for (int64_t root = 0; root < world; ++root) {
    values = summand(rank, c.n, type);
    communicator.broadcast(values, root);
    require(at::equal(values, summand(root, c.n, type)), name("broadcast", type, c));
  }
}

}  // namespace

TEST_CASE("every operation, type and kind of slice, between 1 to 4 processes") {
  for (int64_t world = 1; world <= 4; ++world) {
    CHECK(run_processes(world, [](Process& process) {
            for (const at::ScalarType type : kTypes) {
              for (const Case& c : cases(process.communicator->world())) {
                check_case(process, type, c);
              }
            }
          }) == "");
  }
}

TEST_CASE("tensors of many pieces, and of sizes about the borders between algorithms") {
  for (const int64_t world : {2, 4}) {
    CHECK(run_processes(world, [world](Process& process) {
            // Beyond two pieces of 4 MiB / (world - 1), the last slice shorter.
            const int64_t each = (int64_t{9} << 20) / (world - 1) / 4;
            check_case(process, at::kFloat, {world * each - each / 3, each});
            check_case(process, at::kBFloat16, {world * each - each - 1, each});
            // 32 KiB to all in one round or in two; 1 MiB the same for a broadcast.
            for (const int64_t n : {8192, 8193, 262145}) {
              check_case(process, at::kFloat, {n, (n + world - 1) / world});
            }
          }) == "");
  }
}

TEST_CASE("tensors of any shape, texts of any length, verdicts") {
  for (int64_t world = 1; world <= 4; ++world) {
    CHECK(run_processes(world, [](Process& process) {
            Communicator& communicator = *process.communicator;
            const int64_t n = communicator.world(), rank = communicator.rank();
            const auto mine = static_cast<double>(rank + 1);
            const double sum = static_cast<double>(n * (n + 1)) / 2;

            at::Tensor scalar = at::full({}, mine, at::kDouble);
            communicator.all_reduce_sum(scalar);
            require(scalar.item<double>() == sum && scalar.dim() == 0, "a number");
            at::Tensor matrix = at::full({3, 5}, mine, at::kFloat);
            communicator.all_reduce_sum(matrix.t());  // not contiguous
            require(at::equal(matrix, at::full({3, 5}, sum, at::kFloat)), "a transposed matrix");
            at::Tensor large = at::full({300, 401}, mine, at::kFloat);
            communicator.all_reduce_sum(large.t());
            require(at::equal(large, at::full({300, 401}, sum, at::kFloat)), "a large one");
            at::Tensor sent = at::full({3, 5}, mine, at::kFloat);
            communicator.broadcast(sent.t(), n - 1);
            require(at::equal(sent, at::full({3, 5}, static_cast<double>(n), at::kFloat)),
                    "a transposed matrix of the last");

            const auto text = [](int64_t r) {
              return r == 1 ? std::string() : std::string(static_cast<size_t>(r * 40000 + 1), 'a');
            };
            const std::vector<std::string> texts = communicator.gather(text(rank));
            for (int64_t r = 0; r < n; ++r) {
              require(texts[static_cast<size_t>(r)] == text(r), "a text");
            }
            require(communicator.gather("").size() == static_cast<size_t>(n), "empty texts");

            require(!communicator.any(false), "nobody says so");
            for (int64_t r = 0; r < n; ++r) require(communicator.any(rank == r), "one says so");
            require(communicator.any(true), "all say so");
            communicator.enter("another phase", 20);
            communicator.barrier();
          }) == "");
  }
}

TEST_CASE("a barrier waits for the last") {
  CHECK(run_processes(3, [](Process& process) {
          process.communicator->barrier();
          const Stopwatch stopwatch;
          if (process.rank() == 1) std::this_thread::sleep_for(std::chrono::milliseconds(300));
          process.communicator->barrier();
          require(stopwatch.seconds() > 0.29, "it did not wait");
        }) == "");
}

TEST_CASE("two runs give the same bytes, and every process the same sum") {
  TempFolder temp;
  constexpr int64_t kSize = 100003;
  for (const char* run : {"a", "b"}) {
    REQUIRE(run_processes(3, [&](Process& process) {
              at::manual_seed(static_cast<uint64_t>(process.rank()));
              const at::Tensor values = at::randn({kSize}) * at::exp(at::randn({kSize}) * 5);
              at::Tensor scattered = values.clone();
              process.communicator->all_reduce_sum(values);
              const int64_t each = (kSize + 2) / 3, begin = process.rank() * each,
                            end = std::min(begin + each, kSize);
              // The order of summing is the same, whatever way it is summed.
              require(at::equal(process.communicator->reduce_scatter_sum(scattered, begin, end),
                                values.narrow(0, begin, end - begin)),
                      "two ways of summing");
              write_file(temp / (run + std::to_string(process.rank())),
                         {static_cast<const char*>(values.const_data_ptr()), kSize * 4});
            }) == "");
  }
  const std::string first = read_file(temp / "a0");
  for (const char* other : {"a1", "a2", "b0", "b1", "b2"}) {
    CHECK((read_file(temp / other) == first));
  }
}

TEST_CASE("a plan counts what would be moved, and moves nothing") {
  PlannedCommunicator plan(2, 8);
  CHECK(plan.rank() == 2);
  CHECK(plan.world() == 8);
  const at::Tensor nowhere =
      at::empty({8000}, at::TensorOptions().dtype(at::kBFloat16).device(at::kMeta));
  CHECK(plan.reduce_scatter_sum(nowhere, 2000, 3000).numel() == 1000);
  plan.all_reduce_sum(nowhere);
  plan.all_reduce_sum(nowhere);
  plan.all_gather(nowhere, 2000, 3000);
  plan.broadcast(nowhere);
  CHECK(plan.any(true));
  CHECK(!plan.any(false));
  CHECK(plan.gather("ab") == std::vector<std::string>(8, "ab"));
  plan.barrier();
  CHECK(plan.traffic().at("reduce_scatter_sum").sent == 14000);
  CHECK(plan.traffic().at("all_reduce_sum").calls == 2);
  CHECK(plan.traffic().at("all_reduce_sum").payload == 32000);
  CHECK(plan.traffic().at("all_reduce_sum").sent == 56000);
  CHECK(plan.traffic().at("all_gather").sent == 14000);
  CHECK(plan.traffic().at("gather").sent == 14);
  CHECK(plan.bytes_sent() == 14000 + 56000 + 14000 + 14000 + 14 + 14 + 14 + 14);
  plan.clear();
  CHECK(plan.bytes_sent() == 0);
  PlannedCommunicator alone(0, 1);
  alone.all_reduce_sum(nowhere);
  CHECK(alone.bytes_sent() == 0);
  CHECK_THROWS_AS(PlannedCommunicator(8, 8), std::logic_error);
}
