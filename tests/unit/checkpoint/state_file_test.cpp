// States in the files of several processes, read by any number of them.
#include "littlebit/checkpoint/state_file.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/write_file.h"
#include "support/tiny_model.h"
#include "support/tiny_training.h"

using namespace littlebit;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

struct Scene {
  TempFolder temp;
  std::unique_ptr<test::TinyTraining> training;

  Scene() {
    c10::NoGradGuard no_grad;
    at::manual_seed(3);
    test::write_tiny_llama(temp / "teacher", {.biases = true});
    training = std::make_unique<test::TinyTraining>(temp / "teacher");
    for (const GroupState& state : training->optimizer->states()) {
      state.visit([](const StatePart& part) { part.values.copy_(at::randn(part.values.sizes())); });
    }
  }

  // The states of one process of `world`; numbers of the latents and their moments are those of
  // the whole where `filled`, zero otherwise.
  std::vector<GroupState> states_of(int64_t rank, int64_t world, bool filled) {
    std::vector<GroupState> states;
    for (const GroupState& whole : training->optimizer->states()) {
      const Slice slice = slice_of(whole.group().layout(), rank, world);
      GroupState& state = states.emplace_back(whole.group(), slice);
      if (!filled) continue;
      for (const auto& [to, from] : {std::pair{&state.latents(), &whole.latents()},
                                     std::pair{&state.exp_avg(), &whole.exp_avg()},
                                     std::pair{&state.exp_avg_sq(), &whole.exp_avg_sq()}}) {
        to->copy_(from->narrow(0, slice.begin, slice.size()));
      }
      state.vector_exp_avg().copy_(whole.vector_exp_avg());
      state.vector_exp_avg_sq().copy_(whole.vector_exp_avg_sq());
    }
    return states;
  }

  Json write(const fs::path& folder, int64_t world) {
    fs::create_directories(folder);
    std::vector<std::vector<StoredTensor>> lists;
    for (int64_t rank = 0; rank < world; ++rank) {
      std::vector<StatePart> parts;
      for (const GroupState& state : states_of(rank, world, true)) {
        state.visit([&](const StatePart& part) {
          if (rank == 0 || !part.is_everywhere) parts.push_back(part);
        });
      }
      lists.push_back(write_state(folder, state_file_name(rank, world), parts, "here"));
    }
    return stored_json(merge_stored(std::move(lists)));
  }
};

}  // namespace

TEST_CASE("what W processes wrote, W' read: the same numbers, whatever W and W' are") {
  c10::NoGradGuard no_grad;
  Scene scene;
  for (const int64_t writers : {1, 2, 5}) {
    const fs::path folder = scene.temp / ("by-" + std::to_string(writers));
    const Json list = scene.write(folder, writers);
    CHECK(list == scene.write(folder, writers));
    const StateReader file(folder, list);
    for (const int64_t readers : {1, 3, 4}) {
      CAPTURE(writers, readers);
      for (int64_t rank = 0; rank < readers; ++rank) {
        const std::vector<GroupState> want = scene.states_of(rank, readers, true),
                                      got = scene.states_of(rank, readers, false);
        for (size_t g = 0; g < got.size(); ++g) {
          got[g].visit([&](const StatePart& part) {
            file.verify(part.name, part.shape, at::kFloat, part.begin, part.values.numel());
            file.read(part.name, part.begin, part.values);
          });
          CHECK(at::equal(got[g].latents(), want[g].latents()));
          CHECK(at::equal(got[g].exp_avg(), want[g].exp_avg()));
          CHECK(at::equal(got[g].exp_avg_sq(), want[g].exp_avg_sq()));
          CHECK(at::equal(got[g].vector_exp_avg(), want[g].vector_exp_avg()));
          CHECK(at::equal(got[g].vector_exp_avg_sq(), want[g].vector_exp_avg_sq()));
        }
      }
    }
    // A student without an optimizer: its signs are those of the latents.
    Student student(open_decoder(scene.training->teacher.decoder), scene.training->plans);
    load_weights(file, student);
    scene.training->optimizer->refresh_bits();
    for (size_t g = 0; g < student.groups().size(); ++g) {
      const StudentGroup& want = scene.training->student->groups()[g];
      CHECK(at::equal(student.groups()[g].bits(), want.bits()));
      CHECK(at::equal(student.groups()[g].vectors(), want.vectors()));
    }
    Decoder shape = open_decoder(scene.training->teacher.decoder);
    const std::vector<LayerPlan> plans = plans_of_state(file, shape);
    REQUIRE(plans.size() == scene.training->plans.size());
    for (size_t i = 0; i < plans.size(); ++i) {
      CHECK(plans[i].name == scene.training->plans[i].name);
      CHECK(plans[i].rank == scene.training->plans[i].rank);
      CHECK(plans[i].paths == scene.training->plans[i].paths);
    }
  }
}

TEST_CASE(
    "damage is found where it is read, and only there; lists that do not add up are refused") {
  Scene scene;
  const fs::path folder = scene.temp / "state";
  const Json list = scene.write(folder, 3);
  const std::string name = list.at(0).at("name");
  const auto numel = [](const Json& entry) {
    return entry.at("shape").at(0).get<int64_t>() * entry.at("shape").at(1).get<int64_t>();
  };
  // The last byte of the second file: a second moment of the last group with latents.
  const fs::path file = folder / state_file_name(1, 3);
  std::string bytes = read_file(file);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_file(file, bytes);
  const StateReader reader(folder, list);
  int damaged = 0;
  for (const Json& entry : list) {
    for (const Json& part : entry.at("parts")) {
      try {
        reader.verify(entry.at("name"), entry.at("shape").get<std::vector<int64_t>>(), at::kFloat,
                      part.at("begin"), part.at("count"));
      } catch (const InputError& error) {
        CHECK_THAT(error.what(), Contains("does not have the hash"));
        CHECK(part.at("file") == state_file_name(1, 3));
        ++damaged;
      }
    }
  }
  CHECK(damaged == 1);

  const std::vector<int64_t> shape = list.at(0).at("shape").get<std::vector<int64_t>>();
  CHECK_THROWS_AS(reader.verify("nothing", shape, at::kFloat, 0, 1), InputError);
  CHECK_THROWS_AS(reader.verify(name, shape, at::kDouble, 0, 1), InputError);
  CHECK_THROWS_AS(reader.verify(name, std::vector<int64_t>{1}, at::kFloat, 0, 1), InputError);

  const auto refuse = [&](const std::function<void(Json&)>& change) {
    Json changed = list;
    change(changed);
    CHECK_THROWS_AS(StateReader(folder, changed), InputError);
  };
  refuse([&](Json& l) { l[0]["parts"][0]["count"] = numel(l[0]) - 1; });
  refuse([](Json& l) { l[0]["parts"] = Json::array(); });
  refuse([](Json& l) { l[0]["parts"].push_back(l[0]["parts"][0]); });
  refuse([](Json& l) { l[0]["parts"][0]["begin"] = 1; });
  refuse([](Json& l) { l[0]["parts"][0]["file"] = "elsewhere.safetensors"; });
  refuse([](Json& l) { l[0]["parts"][0]["file"] = "../state/state-00001-of-00003.safetensors"; });
  refuse([](Json& l) { l[0]["dtype"] = "F16"; });
  refuse([](Json& l) { l[0]["shape"] = {-1, -1}; });
  refuse([](Json& l) { l[0].erase("parts"); });
  refuse([](Json& l) { l = Json{{"a", 1}}; });
  fs::remove(folder / state_file_name(2, 3));
  CHECK_THROWS_AS(StateReader(folder, list), InputError);
}
