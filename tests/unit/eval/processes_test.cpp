// Scores of several processes (threads of this one) against those of one: the same numbers, to the
// last bit.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <catch2/catch.hpp>
#include <map>
#include <mutex>
#include <stdexcept>

#include "littlebit/core/error.h"
#include "littlebit/eval/batch_sharing.h"
#include "littlebit/eval/choice_requests.h"
#include "littlebit/eval/choice_scores.h"
#include "littlebit/eval/perplexity.h"
#include "littlebit/eval/rolling.h"
#include "support/loaded_model.h"
#include "support/thread_processes.h"
#include "support/tiny_model.h"
#include "temp_folder.h"

using namespace littlebit;

namespace {

struct TinyModel {
  uint32_t seed = 1;
  TempFolder temp;
  test::LoadedModel model{(test::write_tiny_llama(temp.path(), {.seed = seed}), temp.path())};
  const Decoder& decoder() const { return model.decoder; }
};

std::vector<int32_t> random_ids(int64_t count) {
  const at::Tensor ids = at::randint(48, {count}, at::kInt);
  return {ids.data_ptr<int32_t>(), ids.data_ptr<int32_t>() + count};
}

// What `score` gives in each of `world` processes.
using Numbers = std::vector<double>;
std::vector<Numbers> in_each(int64_t world,
                             const std::function<Numbers(const BatchSharing&)>& score,
                             bool divides = true) {
  std::mutex mutex;
  std::vector<Numbers> results;
  test::ThreadProcesses::run(world, [&](Communicator& processes) {
    at::set_num_threads(1);
    Numbers numbers = score(BatchSharing(processes, divides));
    const std::lock_guard lock(mutex);
    results.push_back(std::move(numbers));
  });
  return results;
}

void check_divided(const std::function<Numbers(const BatchSharing&)>& score) {
  at::set_num_threads(1);
  const Numbers one = score(BatchSharing());
  REQUIRE(!one.empty());
  for (const bool divides : {true, false}) {
    for (const int64_t world : {1, 2, 3, 4}) {
      INFO(world << " processes, divided: " << divides);
      for (const Numbers& numbers : in_each(world, score, divides)) CHECK((numbers == one));
    }
  }
}

}  // namespace

TEST_CASE("a divided perplexity is the undivided one") {
  const TinyModel tiny, teacher{.seed = 2};
  at::manual_seed(3);
  const std::vector<int32_t> ids = random_ids(11 * 10 + 3);
  for (const int64_t batch_size : {1, 2, 5, 100}) {  // down to one batch, which one process has
    check_divided([&](const BatchSharing& sharing) {
      int64_t seen = 0;
      const TaskResult result = chunk_perplexity(
          tiny.decoder(), ids,
          {.sequence_length = 10, .batch_size = batch_size, .teacher = &teacher.decoder()},
          [&](int64_t done, int64_t) { seen = done; }, sharing);
      if (seen != 11) throw std::logic_error("the progress ends before the text does");
      return Numbers{result.metric("nll"), result.metric("perplexity"), result.metric("kl"),
                     static_cast<double>(result.count("chunks"))};
    });
  }
}

TEST_CASE("divided documents are the undivided ones") {
  const TinyModel tiny;
  at::manual_seed(5);
  std::vector<RollingDocument> documents;
  for (const int64_t size : {1, 30, 7, 13, 64, 2, 9}) {
    documents.push_back({.ids = random_ids(size + 1), .words = 1, .bytes = size});
  }
  check_divided([&](const BatchSharing& sharing) {
    return rolling_loglikelihoods(tiny.decoder(), documents, 8, 2, {}, sharing);
  });

  std::vector<EncodedDocument> choices;
  for (int32_t i = 0; i < 9; ++i) {
    EncodedDocument document{.lengths = {1, 1}};
    for (const int32_t last : {8, 9}) {
      document.choices.push_back({.ids = {5, i, 7, last, last + i}, .scored = 2});
    }
    choices.push_back(document);
  }
  for (const int64_t batch_size : {1, 4}) {
    check_divided([&](const BatchSharing& sharing) {
      Numbers numbers;
      for (const DocumentScores& scores :
           score_choices(tiny.decoder(), choices, batch_size, {}, sharing)) {
        for (const ChoiceScore& score : scores) {
          numbers.push_back(score.loglikelihood);
          numbers.push_back(score.is_greedy ? 1 : 0);
        }
      }
      return numbers;
    });
  }
}

TEST_CASE("batches are divided, or scored by everybody in step") {
  std::mutex mutex;
  for (const bool divides : {true, false}) {
    std::map<int64_t, std::vector<int64_t>> scored, told;
    test::ThreadProcesses::run(3, [&](Communicator& processes) {
      std::vector<int64_t> mine, rounds;
      BatchSharing(processes, divides)
          .for_each(
              7, "the end",
              [&](int64_t batch) {
                if (!divides) processes.barrier();  // as a collective forward pass
                mine.push_back(batch);
              },
              [&](int64_t batches) { rounds.push_back(batches); });
      const std::lock_guard lock(mutex);
      scored[processes.rank()] = mine;
      told[processes.rank()] = rounds;
    });
    for (int64_t rank = 0; rank < 3; ++rank) {
      CHECK(told[rank] ==
            (divides ? std::vector<int64_t>{3, 6, 7} : std::vector<int64_t>{1, 2, 3, 4, 5, 6, 7}));
    }
    if (divides) {
      CHECK(scored[0] == std::vector<int64_t>{0, 3, 6});
      CHECK(scored[1] == std::vector<int64_t>{1, 4});
      CHECK(scored[2] == std::vector<int64_t>{2, 5});
    } else {
      for (int64_t rank = 0; rank < 3; ++rank) CHECK(scored[rank].size() == 7);
    }
  }
}

TEST_CASE("a batch that fails, or stops, in one process ends the scoring in all") {
  for (const ExitCode code : {ExitCode::kInput, ExitCode::kStopped}) {
    std::mutex mutex;
    std::map<int64_t, std::pair<ExitCode, std::string>> ends;
    int rounds = 0;
    test::ThreadProcesses::run(3, [&](Communicator& processes) {
      try {
        BatchSharing(processes).for_each(
            100, "the end",
            [&](int64_t batch) {
              if (batch == 4) throw Error(code, "batch 4");
            },
            [&](int64_t) { rounds += processes.is_first() ? 1 : 0; });
      } catch (const Error& error) {
        const std::lock_guard lock(mutex);
        ends[processes.rank()] = {error.code(), error.what()};
      }
    });
    for (int64_t rank = 0; rank < 3; ++rank) {
      CHECK((ends[rank].first == code));
      CHECK(ends[rank].second == (rank == 1 ? "batch 4" : "process 1: batch 4"));
    }
    CHECK(rounds == 1);
  }
}
