// Training by several processes (threads of this one): steps, checkpoints and failures, against
// one.
#include <ATen/ATen.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cerrno>
#include <mutex>
#include <optional>
#include <system_error>

#include "littlebit/checkpoint/save.h"
#include "littlebit/core/error.h"
#include "littlebit/core/fault_hook.h"
#include "littlebit/distill/step.h"
#include "littlebit/distributed/agreement.h"
#include "support/loaded_model.h"
#include "support/thread_processes.h"
#include "support/tiny_model.h"

using namespace littlebit;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

const fs::path& teacher_folder() {
  static const TempFolder folder;
  if (fs::is_empty(folder.path())) test::write_tiny_llama(folder.path(), {.biases = true});
  return folder.path();
}

// One process's training in fp64, where the order of sums does not show.
struct Process {
  test::LoadedModel teacher{teacher_folder(), at::kDouble};
  std::unique_ptr<Student> student;
  std::unique_ptr<Optimizer> optimizer;
  std::vector<GroupGradients> gradients;

  explicit Process(Communicator& processes, MomentType moments = MomentType::kFp32) {
    Decoder open = open_decoder(teacher.decoder);
    QuantOptions quant;
    quant.bits_per_weight = 2;
    const std::vector<LayerPlan> plans = plan_model(open, quant);
    student = std::make_unique<Student>(std::move(open), plans);
    optimizer =
        std::make_unique<Optimizer>(*student, OptimOptions{.weight_decay = 0.1, .moments = moments},
                                    Surrogate::kSmoothSign, processes);
    LatentSink sink(*student, optimizer->states());
    factorize_model(sink, teacher.folder, plans, quant, 1, {});
    gradients = gradients_of(*student);
  }

  // Steps `first` ... `last` of global batches of 12 sequences.
  void train(int first, int last) {
    DistillationStep step(teacher.decoder, *student, {}, Recompute::kFull);
    const Communicator& processes = optimizer->communicator();
    const int64_t mine = 12 / processes.world();
    for (int k = first; k <= last; ++k) {
      const at::Tensor batch = at::arange(12 * 8).mul_(7 * k + 3).remainder_(47).view({12, 8});
      step.accumulate(batch.narrow(0, processes.rank() * mine, mine), 12, gradients);
      norms.push_back(optimizer->step(gradients, k, 3e-3).read_gradient_norm());
    }
  }
  std::vector<double> norms;
};

// The whole state of a run by name.
using Whole = std::map<std::string, at::Tensor>;

void add_parts(Whole& whole, const Optimizer& optimizer) {
  for (const GroupState& state : optimizer.states()) {
    state.visit([&](const StatePart& part) {
      at::Tensor& tensor = whole[part.name];
      int64_t numel = 1;
      for (const int64_t size : part.shape) numel *= size;
      if (!tensor.defined()) tensor = at::zeros({numel}, part.values.options());
      tensor.narrow(0, part.begin, part.values.numel()).copy_(part.values);
    });
  }
}

double largest_gap(const Whole& a, const Whole& b) {
  REQUIRE(a.size() == b.size());
  double most = 0;
  for (const auto& [name, tensor] : a) {
    const at::Tensor scale = tensor.abs().max() + 1e-30;
    most = std::max(most, ((tensor - b.at(name)).abs().max() / scale).item<double>());
  }
  return most;
}

// Steps by `world` processes; what they hold in the end, the norms, and every process's bits.
struct Outcome {
  Whole state;
  std::vector<double> norms;
  std::vector<std::vector<at::Tensor>> bits;
};

Outcome trained(int64_t world, const std::function<void(Process&)>& body,
                MomentType moments = MomentType::kFp32) {
  Outcome outcome;
  outcome.bits.resize(world);
  std::mutex mutex;
  test::ThreadProcesses::run(world, [&](Communicator& processes) {
    Process process(processes, moments);
    body(process);
    const std::lock_guard lock(mutex);
    add_parts(outcome.state, *process.optimizer);
    if (processes.is_first()) outcome.norms = process.norms;
    for (const StudentGroup& group : process.student->groups()) {
      outcome.bits[processes.rank()].push_back(group.bits().clone());
      outcome.bits[processes.rank()].push_back(group.vectors().clone());
    }
  });
  return outcome;
}

bool same(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const at::Tensor& x, const at::Tensor& y) { return at::equal(x, y); });
}

}  // namespace

TEST_CASE("two, three and four processes take the steps that one takes, each on its slice") {
  const Outcome one = trained(1, [](Process& process) { process.train(1, 4); });
  for (const int64_t world : {2, 3, 4}) {
    CAPTURE(world);
    const Outcome many = trained(world, [](Process& process) { process.train(1, 4); });
    CHECK(largest_gap(one.state, many.state) < 1e-9);
    for (size_t k = 0; k < one.norms.size(); ++k) {
      CHECK(many.norms[k] == Approx(one.norms[k]).epsilon(1e-10));
    }
    for (const auto& bits : many.bits) CHECK(same(bits, many.bits[0]));
  }
}

TEST_CASE("moments in fewer bits: any number of processes, saved and gone on with") {
  for (const MomentType moments : {MomentType::kBf16, MomentType::kInt8}) {
    const TempFolder root;
    const auto numbers = [](const Whole& state, const std::string& name) {
      return state.at(name).to(at::kDouble);
    };
    const Outcome one = trained(
        1, [](Process& process) { process.train(1, 4); }, moments);
    for (const auto& [from, to] : {std::pair{1, 3}, {2, 2}, {3, 1}, {4, 2}}) {
      CAPTURE(static_cast<int>(moments), from, to);
      fs::path saved;
      const Outcome first = trained(
          from,
          [&](Process& process) {
            process.train(1, 2);
            const fs::path folder = save_checkpoint(root / std::to_string(10 * from + to),
                                                    *process.optimizer, {2, 24}, {});
            if (process.optimizer->communicator().is_first()) saved = folder;
          },
          moments);
      const auto loaded = [&](Process& process) {
        load_checkpoint(read_checkpoint(saved), *process.optimizer);
      };
      // What is held comes back, byte for byte, whoever reads it.
      const Outcome read = trained(to, loaded, moments);
      REQUIRE(read.state.size() == first.state.size());
      for (const auto& [name, tensor] : first.state) {
        INFO(name);
        CHECK(at::equal(tensor, read.state.at(name)));
      }
      const Outcome rest = trained(
          to,
          [&](Process& process) {
            loaded(process);
            process.train(3, 4);
          },
          moments);
      // Sums in another order may turn a code by chance; nothing else differs.
      int64_t turned = 0, all = 0;
      for (const auto& [name, tensor] : one.state) {
        INFO(name);
        if (name.starts_with("exp_avg") && tensor.scalar_type() != at::kDouble) {
          turned += numbers(one.state, name).ne(numbers(rest.state, name)).sum().item<int64_t>();
          all += tensor.numel();
          continue;
        }
        CHECK(at::allclose(numbers(rest.state, name), numbers(one.state, name), 1e-6, 1e-4));
      }
      CHECK(all > 1000);
      CHECK(turned * 200 < all);
      for (const auto& bits : rest.bits) CHECK(same(bits, rest.bits[0]));
    }
    // Another type is refused.
    test::ThreadProcesses::run(1, [&](Communicator& processes) {
      Process wide(processes);
      const fs::path any = fs::directory_iterator(root / "13")->path();
      CHECK_THROWS_AS(load_checkpoint(read_checkpoint(any), *wide.optimizer), InputError);
    });
  }
}

TEST_CASE("saved by some processes, gone on with by any number of them") {
  const TempFolder root;
  const auto save = [&](const std::string& name) {
    return [&, name](Process& process) {
      process.train(1, 2);
      save_checkpoint(root / name, *process.optimizer, {.step = 2, .tokens = 5}, {{"a", "b"}});
    };
  };
  for (const int64_t writers : {1, 3, 4}) {
    const std::string name = "by-" + std::to_string(writers);
    const Outcome saved = trained(writers, save(name));
    const fs::path folder = root / name / "step-2";
    CHECK(fs::exists(folder / state_file_name(writers - 1, writers)));
    CHECK(read_checkpoint(folder).position.tokens == 5);
    for (const int64_t readers : {1, 2, 3, 4}) {
      CAPTURE(writers, readers);
      const Outcome restored = trained(readers, [&](Process& process) {
        load_checkpoint(read_checkpoint(folder), *process.optimizer);
      });
      CHECK(largest_gap(saved.state, restored.state) == 0);
      for (const auto& bits : restored.bits) CHECK(same(bits, saved.bits[0]));
      const auto go_on = [&](Process& process) {
        load_checkpoint(read_checkpoint(folder), *process.optimizer);
        process.train(3, 3);
      };
      if (readers != writers) continue;
      // The same number of processes: as if nothing had been between.
      const Outcome through = trained(writers, [](Process& process) { process.train(1, 3); });
      CHECK(largest_gap(through.state, trained(readers, go_on).state) == 0);
    }
  }
}

TEST_CASE("saved in the background by several: the rest of the run is the same, to the bit") {
  const TempFolder root;
  for (const int64_t world : {1, 2, 4}) {
    CAPTURE(world);
    const fs::path folder = root / std::to_string(world);
    const Outcome through = trained(world, [](Process& process) { process.train(1, 4); });
    const Outcome saving = trained(world, [&](Process& process) {
      process.train(1, 2);
      CheckpointSave save(folder, *process.optimizer, {.step = 2}, {}, {}, true);
      process.train(3, 4);
      save.finish();
    });
    CHECK(largest_gap(through.state, saving.state) == 0);
    const Outcome resumed = trained(world, [&](Process& process) {
      load_checkpoint(read_checkpoint(folder / "step-2"), *process.optimizer);
      process.train(3, 4);
    });
    CHECK(largest_gap(through.state, resumed.state) == 0);
  }
}

TEST_CASE("a disk that fails in one process only: all are told, the older state stays") {
  const TempFolder root;
  std::mutex mutex;
  std::vector<std::string> failed;
  const auto save = [&](Process& process, int64_t step, bool in_background) {
    try {
      CheckpointSave(root.path(), *process.optimizer, {.step = step}, {}, {}, in_background)
          .finish();
      return true;
    } catch (const OutputError& error) {
      const std::lock_guard lock(mutex);
      failed.emplace_back(error.what());
      return false;
    }
  };
  struct Hook {
    explicit Hook(std::string operation, int error) {
      set_fault_hook([operation, error](std::string_view asked, const fs::path& path) {
        return asked == operation && path.filename().string().starts_with("state-00002") ? error
                                                                                         : 0;
      });
    }
    ~Hook() { set_fault_hook(nullptr); }
  };
  std::atomic<int> written = 0;
  const Outcome saved = trained(3, [&](Process& process) {
    process.train(1, 1);
    written += save(process, 1, false) ? 1 : 0;
  });
  CHECK(written == 3);
  for (const bool in_background : {false, true}) {
    for (const auto& [operation, error] : {std::pair{"write", ENOSPC}, {"open", EROFS}}) {
      CAPTURE(in_background, operation);
      failed.clear();
      written = 3;
      trained(3, [&](Process& process) {
        load_checkpoint(read_checkpoint(root / "step-1"), *process.optimizer);
        std::optional<Hook> hook;
        if (process.optimizer->communicator().is_first()) hook.emplace(operation, error);
        process.optimizer->communicator().barrier();
        written -= save(process, 2, in_background) ? 0 : 1;
        process.optimizer->communicator().barrier();
      });
      CHECK(written == 0);
      CHECK(failed.size() == 3);
      for (const std::string& message : failed) {
        CHECK_THAT(message, Contains("state-00002-of-00003") &&
                                Contains(std::generic_category().message(error)));
      }
      CHECK_FALSE(fs::exists(root / "step-2"));
      CHECK_FALSE(fs::exists(root / "step-2.partial"));
      const Outcome restored = trained(3, [&](Process& process) {
        load_checkpoint(read_checkpoint(root / "step-1"), *process.optimizer);
      });
      CHECK(largest_gap(saved.state, restored.state) == 0);
    }
  }
}

TEST_CASE("what fails in one process fails in all, and nothing is half written") {
  const TempFolder root;
  std::mutex mutex;
  std::vector<std::string> messages(3);
  test::ThreadProcesses::run(3, [&](Communicator& processes) {
    Process process(processes);
    process.train(1, 1);
    // A number of the second process's slice goes bad by itself.
    if (processes.rank() == 1) {
      for (const GroupState& state : process.optimizer->states()) {
        if (state.slice().size() > 0) state.latents()[0] = std::nan("");
      }
    }
    try {
      save_checkpoint(root / "c", *process.optimizer, {.step = 1}, {});
    } catch (const NumericsError& error) {
      const std::lock_guard lock(mutex);
      messages[processes.rank()] = error.what();
    }
  });
  CHECK_THAT(messages[1], Contains("holds NaN"));
  CHECK_THAT(messages[0], Contains("process 1: ") && Contains("holds NaN"));
  CHECK_THAT(messages[2], Contains("process 1: ") && Contains("holds NaN"));
  CHECK(list_checkpoints(root / "c").empty());
  CHECK_FALSE(fs::exists(root / "c" / "step-1.partial"));

  // Each kind of error keeps its kind and its hint.
  std::atomic<int> kept = 0;
  test::ThreadProcesses::run(2, [&](Communicator& processes) {
    const auto fails = [&](const auto& error) {
      using Kind = std::decay_t<decltype(error)>;
      try {
        in_all(processes, [&] {
          if (processes.rank() == 1) throw error;
        });
        return false;
      } catch (const Kind& same) {
        return std::string(same.what()).ends_with("it broke");
      }
    };
    const bool all = fails(OutputError("it broke", "mend it")) && fails(InputError("it broke")) &&
                     fails(UsageError("it broke")) && fails(Error(ExitCode::kStopped, "it broke"));
    in_all(processes, [] {});
    kept += all ? 1 : 0;
  });
  CHECK(kept == 2);
}
