// Work beside: in its order, waited for, and what it throws.
#include "../../../src/optim/worker.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <stdexcept>
#include <vector>

namespace littlebit {

TEST_CASE("a worker does what it is given in order, and waiting is for all of it") {
  Worker worker;
  worker.wait();
  std::vector<int> done;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 50; ++i) {
      worker.add([&done, i] {
        if (i == 7) std::this_thread::sleep_for(std::chrono::milliseconds(5));
        done.push_back(i);
      });
    }
    worker.wait();
    REQUIRE(done.size() == 50);
    for (int i = 0; i < 50; ++i) CHECK(done[static_cast<size_t>(i)] == i);
    done.clear();
  }
}

TEST_CASE("what a job throws is thrown where it is waited for, and nothing is done after it") {
  Worker worker;
  bool went_on = false;
  worker.add([] { throw std::runtime_error("no"); });
  worker.add([&] { went_on = true; });
  CHECK_THROWS_WITH(worker.wait(), "no");
  CHECK_FALSE(went_on);
  worker.add([&] { went_on = true; });
  worker.wait();
  CHECK(went_on);
}

TEST_CASE("a worker ends with jobs that were not waited for") {
  int count = 0;
  {
    Worker worker;
    for (int i = 0; i < 1000; ++i) worker.add([&] { ++count; });
  }
  CHECK(count <= 1000);
}

}  // namespace littlebit
