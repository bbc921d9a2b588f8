// A tiny training between processes, each with its slices of the state, against one process: the
// same numbers, the same bits, and a state that any number of processes reads.
#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <nlohmann/json.hpp>
#include <span>

#include "littlebit/checkpoint/state_file.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/write_file.h"
#include "littlebit/distill/step.h"
#include "littlebit/io/json.h"
#include "littlebit/optim/optimizer.h"
#include "processes.h"
#include "support/loaded_model.h"
#include "support/tiny_model.h"

using namespace littlebit;
using test::Process;
using test::require;
using test::run_processes;
namespace fs = std::filesystem;

namespace {

constexpr int64_t kSequences = 6;  // of a step, all processes together
constexpr int kSteps = 3;

// Teacher, student and optimizer of one process, in fp64. Every process draws the same start.
struct Training {
  test::LoadedModel teacher;
  std::unique_ptr<Student> student;
  std::unique_ptr<Optimizer> optimizer;
  Communicator& communicator;

  Training(const fs::path& folder, Communicator& communicator_of_run)
      : teacher(folder, at::kDouble), communicator(communicator_of_run) {
    at::manual_seed(5);
    Decoder open = open_decoder(teacher.decoder);
    std::vector<LayerPlan> plans;
    open.visit_linears([&](LinearSlot& slot) {
      plans.push_back(
          {.name = slot.name, .d_in = slot.d_in, .d_out = slot.d_out, .rank = 8, .paths = 2});
    });
    student = std::make_unique<Student>(std::move(open), plans);
    optimizer =
        std::make_unique<Optimizer>(*student, OptimOptions{.weight_decay = 0.1, .max_grad_norm = 1},
                                    Surrogate::kSmoothSign, communicator);
    for (GroupState& state : optimizer->states()) {
      StudentGroup& group = state.group();
      at::Tensor vectors = group.vectors();
      vectors.copy_(at::randn_like(vectors) * 0.3);
      // The padding between matrices holds zeros.
      at::Tensor all =
          at::zeros({group.layout().num_latents}, at::TensorOptions().dtype(at::kDouble));
      for (const Segment& segment : group.layout().latents) {
        segment.view(all).copy_(at::randn(segment.shape, all.options()) * 0.01);
      }
      state.latents().copy_(all.narrow(0, state.slice().begin, state.slice().size()));
    }
    optimizer->refresh_bits();
  }

  // Returns the losses and the gradient norm of each step, and how many signs flipped.
  std::vector<double> train() {
    DistillationStep step(teacher.decoder, *student, {}, Recompute::kFull);
    std::vector<GroupGradients> gradients = gradients_of(*student);
    std::vector<double> numbers;
    const int64_t share = kSequences / communicator.world();
    for (int k = 1; k <= kSteps; ++k) {
      at::manual_seed(static_cast<uint64_t>(100 + k));
      const at::Tensor ids = at::randint(teacher.decoder.spec().vocab_size, {kSequences, 10},
                                         at::TensorOptions().dtype(at::kLong))
                                 .narrow(0, communicator.rank() * share, share);
      DistillationLoss loss;
      for (int64_t i = 0; i < share; ++i) {
        loss += step.accumulate(ids.narrow(0, i, 1), kSequences, gradients);
      }
      for (size_t g = 0; g < gradients.size(); ++g) optimizer->reduce(g, gradients[g]);
      const at::Tensor losses = at::stack({loss.kl, loss.hidden});
      const StepStatistics statistics =
          optimizer->step(k, {.latents = 1e-3, .scales = 1e-3, .norms = 1e-3}, losses);
      communicator.all_reduce_sum(statistics.sign_flips);
      numbers.insert(numbers.end(),
                     {losses[0].item<double>(), losses[1].item<double>(),
                      statistics.read_gradient_norm(), statistics.sign_flips.item<double>()});
    }
    return numbers;
  }

  // Everything that a step moves, gathered: latents, moments and vectors; and the bits.
  std::vector<double> state() const {
    std::vector<double> numbers;
    const auto append = [&](const at::Tensor& flat) {
      const double* data = flat.const_data_ptr<double>();
      numbers.insert(numbers.end(), data, data + flat.numel());
    };
    for (const GroupState& state : optimizer->states()) {
      const Slice slice = state.slice();
      for (const at::Tensor* mine : {&state.latents(), &state.exp_avg(), &state.exp_avg_sq()}) {
        at::Tensor all = at::zeros({state.group().layout().num_latents}, mine->options());
        all.narrow(0, slice.begin, slice.size()).copy_(*mine);
        communicator.all_gather(all, slice.begin, slice.end);
        append(all);
      }
      append(state.group().vectors());
      append(state.vector_exp_avg());
      append(state.vector_exp_avg_sq());
    }
    return numbers;
  }
  std::string bits() const {
    std::string bytes;
    for (const StudentGroup& group : student->groups()) {
      bytes.append(static_cast<const char*>(group.bits().const_data_ptr()), group.bits().nbytes());
    }
    return bytes;
  }

  // Each process its own file; returns the list of all of them, in every process.
  Json write_files(const fs::path& folder) const {
    if (communicator.is_first()) fs::create_directories(folder);
    communicator.barrier();
    std::vector<StatePart> parts;
    for (const GroupState& state : optimizer->states()) {
      state.visit([&](const StatePart& part) {
        if (communicator.is_first() || !part.is_everywhere) parts.push_back(part);
      });
    }
    const Json mine = stored_json(write_state(
        folder, state_file_name(communicator.rank(), communicator.world()), parts, "here"));
    Json all = Json::array();
    for (const std::string& text : communicator.gather(to_json_line(mine))) {
      for (const Json& entry : parse_json(text, "a process")) {
        const auto same = std::find_if(all.begin(), all.end(), [&](const Json& other) {
          return other.at("name") == entry.at("name");
        });
        if (same == all.end()) {
          all.push_back(entry);
        } else {
          for (const Json& part : entry.at("parts")) (*same)["parts"].push_back(part);
        }
      }
    }
    return all;
  }

  void read_files(const fs::path& folder, const Json& list) {
    const StateReader reader(folder, list);
    for (GroupState& state : optimizer->states()) {
      state.visit([&](const StatePart& part) {
        reader.verify(part.name, part.shape, at::kDouble, part.begin, part.values.numel());
        reader.read(part.name, part.begin, part.values);
      });
    }
    optimizer->refresh_bits();
  }
};

void write_numbers(const fs::path& file, const std::vector<double>& numbers) {
  write_file(file, {reinterpret_cast<const char*>(numbers.data()), numbers.size() * 8});
}

std::vector<double> read_numbers(const fs::path& file) {
  const std::string bytes = read_file(file);
  std::vector<double> numbers(bytes.size() / 8);
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(numbers.data()));
  return numbers;
}

double difference(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size() || a.empty()) return INFINITY;
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(a[i] - b[i]));
  return worst;
}

}  // namespace

TEST_CASE("a training of 2, 3 and 6 processes is that of one") {
  TempFolder temp;
  test::write_tiny_llama(temp / "teacher", {.biases = true});
  for (const int64_t world : {1, 2, 3, 6}) {
    const std::string name = std::to_string(world);
    REQUIRE(run_processes(world, [&](Process& process) {
              Training training(temp / "teacher", *process.communicator);
              const std::vector<double> numbers = training.train();
              const std::vector<double> state = training.state();
              // What everybody has is the same to the last bit.
              std::string shared = training.bits();
              for (const StudentGroup& group : training.student->groups()) {
                shared.append(static_cast<const char*>(group.vectors().const_data_ptr()),
                              group.vectors().nbytes());
              }
              for (const std::string& other : process.communicator->gather(shared)) {
                require(other == shared, "processes differ");
              }
              const Json list = training.write_files(temp / ("state-" + name));
              if (!process.communicator->is_first()) return;
              write_numbers(temp / ("numbers-" + name), numbers);
              write_numbers(temp / ("all-" + name), state);
              write_file(temp / ("bits-" + name), training.bits());
              write_file(temp / ("list-" + name), to_json_line(list));
            }) == "");
  }
  const std::vector<double> numbers = read_numbers(temp / "numbers-1");
  REQUIRE(numbers.size() == 4 * kSteps);
  CHECK(numbers[3] + numbers[7] + numbers[11] > 20);  // signs that flipped
  CHECK(numbers[2] > 1e-3);                           // a gradient
  for (const char* world : {"2", "3", "6"}) {
    INFO(world << " processes");
    CHECK(difference(read_numbers(temp / (std::string("numbers-") + world)), numbers) < 1e-10);
    CHECK(difference(read_numbers(temp / (std::string("all-") + world)),
                     read_numbers(temp / "all-1")) < 1e-10);
    CHECK(read_file(temp / (std::string("bits-") + world)) == read_file(temp / "bits-1"));
  }

  // What 3 wrote, 1 and 2 read; what 1 wrote, 3.
  for (const auto& [writers, readers] : {std::pair{3, 1}, {3, 2}, {1, 3}}) {
    const std::string from = std::to_string(writers);
    INFO("written by " << writers << ", read by " << readers);
    CHECK(fs::exists(temp / ("state-" + from) / state_file_name(writers - 1, writers)));
    CHECK(run_processes(readers, [&](Process& process) {
            Training training(temp / "teacher", *process.communicator);
            training.read_files(temp / ("state-" + from), read_json_file(temp / ("list-" + from)));
            const std::vector<double> state = training.state();
            require(difference(state, read_numbers(temp / ("all-" + from))) == 0, "other numbers");
            require(training.bits() == read_file(temp / ("bits-" + from)), "other bits");
          }) == "");
  }
}
