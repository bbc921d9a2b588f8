// Runs documents in batches of branched sequences and takes scores from the rows that predict a
// scored token.
//
//     context (shared) --+-- answer 1     one sequence, two branches: the context runs once, and
//                        +-- answer 2     each branch sees it and itself
#include "littlebit/eval/choice_scores.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/gather.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "littlebit/core/error.h"
#include "littlebit/eval/choice_requests.h"
#include "littlebit/models/branches.h"

namespace littlebit {
namespace {

constexpr int64_t kMaxLogits = 1 << 24, kMinRows = 64, kMaxRows = 1024;

using Ids = std::span<const int32_t>;

// A choice's place in the sequences of its document.
struct Place {
  size_t sequence, branch;
};

// A document as it is run.
struct DocumentRun {
  std::vector<BranchedSequence> sequences;
  std::vector<Place> places;  // by choice
  int64_t tokens = 0;
};

// How many ids the choices share in front; what is scored, and one id before it, is not counted.
// The question is the same for all answers: it is run once, and each answer as a branch behind it.
size_t shared_prefix(const std::vector<ChoiceRequest>& choices) {
  size_t shared = choices[0].ids.size();
  for (const ChoiceRequest& choice : choices) {
    const Ids first = choices[0].ids, ids = choice.ids;
    shared = std::min(shared, ids.size() - static_cast<size_t>(choice.scored));
    shared =
        std::mismatch(first.begin(), first.begin() + static_cast<ptrdiff_t>(shared), ids.begin())
            .first -
        first.begin();
  }
  return shared;
}

// The branch of `sequence` that is run like `ids`: all but the last id are the same. Added where
// there is none. The last id is only predicted, never run: answers that differ in nothing else (A,
// B, C, D) are one branch.
size_t branch_of(BranchedSequence& sequence, Ids ids) {
  const Ids run = ids.first(ids.size() - 1);
  for (size_t b = 0; b < sequence.branches.size(); ++b) {
    const Ids other = sequence.branches[b].first(sequence.branches[b].size() - 1);
    if (std::equal(run.begin(), run.end(), other.begin(), other.end())) return b;
  }
  sequence.branches.push_back(ids);
  return sequence.branches.size() - 1;
}

DocumentRun run_of(const ModelSpec& spec, const EncodedDocument& document) {
  DocumentRun run;
  const size_t shared = shared_prefix(document.choices);
  for (const ChoiceRequest& choice : document.choices) {
    const Ids ids = choice.ids;
    // Without a common beginning (contexts cut to different lengths) each runs for itself.
    const size_t split = shared > 0 ? shared : ids.size() - static_cast<size_t>(choice.scored);
    if (shared == 0 || run.sequences.empty())
      run.sequences.push_back({.context = ids.first(split)});
    const size_t branch = branch_of(run.sequences.back(), ids.subspan(split));
    run.places.push_back({run.sequences.size() - 1, branch});
  }
  for (const BranchedSequence& sequence : run.sequences) run.tokens += tokens_run(spec, sequence);
  return run;
}

// The tokens to score in a batch: each has the row that predicts it and the sum it goes into.
struct ScoredTokens {
  std::vector<int64_t> rows, ids;
  std::vector<ChoiceScore*> scores;
};

ScoredTokens scored_tokens(std::span<const EncodedDocument* const> documents,
                           std::span<const DocumentRun* const> runs,
                           std::span<DocumentScores* const> scores) {
  ScoredTokens tokens;
  int64_t begin = 0;
  for (size_t d = 0; d < documents.size(); ++d) {
    // branch_predictions() gives the rows of all branches one after another, in the order in which
    // they were added; the last `scored` rows of a branch predict the scored ids.
    std::vector<std::vector<int64_t>> ends(runs[d]->sequences.size());  // of each branch's rows
    for (size_t s = 0; s < ends.size(); ++s) {
      for (const Ids branch : runs[d]->sequences[s].branches) {
        begin += static_cast<int64_t>(branch.size());
        ends[s].push_back(begin);
      }
    }
    for (size_t c = 0; c < documents[d]->choices.size(); ++c) {
      const ChoiceRequest& choice = documents[d]->choices[c];
      const Place place = runs[d]->places[c];
      for (int64_t i = choice.scored; i > 0; --i) {
        tokens.rows.push_back(ends[place.sequence][place.branch] - i);
        tokens.ids.push_back(choice.ids[choice.ids.size() - static_cast<size_t>(i)]);
        tokens.scores.push_back(&(*scores[d])[c]);
      }
    }
  }
  return tokens;
}

void add_scores(const Decoder& decoder, const at::Tensor& z, const ScoredTokens& tokens) {
  const int64_t total = static_cast<int64_t>(tokens.rows.size());
  const int64_t step = std::clamp(kMaxLogits / decoder.spec().vocab_size, kMinRows, kMaxRows);
  const at::Tensor rows = at::tensor(at::ArrayRef<int64_t>(tokens.rows), at::kLong).to(z.device());
  const at::Tensor ids = at::tensor(at::ArrayRef<int64_t>(tokens.ids), at::kLong).to(z.device());
  for (int64_t first = 0; first < total; first += step) {
    const int64_t count = std::min(step, total - first);
    const at::Tensor part = at::index_select(z, 0, rows.narrow(0, first, count));
    const at::Tensor logits = decoder.head_forward(part);
    const at::Tensor wanted = ids.narrow(0, first, count);
    const at::Tensor log_p = at::log_softmax(logits, -1, at::kFloat)
                                 .gather(1, wanted.unsqueeze(1))
                                 .squeeze(1)
                                 .to(at::kCPU, at::kDouble);
    // is_greedy: whether the model itself would have written this continuation.
    const at::Tensor greedy = at::argmax(logits, -1).eq(wanted).to(at::kCPU);
    for (int64_t i = 0; i < count; ++i) {
      ChoiceScore& score = *tokens.scores[first + i];
      score.loglikelihood += log_p.data_ptr<double>()[i];
      score.is_greedy = score.is_greedy && greedy.data_ptr<bool>()[i];
    }
  }
}

// Documents by falling number of tokens, those first in the data first among equals. Lengths in a
// batch are then alike, and the batch that needs the most memory is the first.
std::vector<size_t> longest_first(const std::vector<DocumentRun>& runs) {
  std::vector<size_t> order(runs.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return runs[a].tokens > runs[b].tokens; });
  return order;
}

// How many of `order` from `first` on are run together.
size_t batch_count(const std::vector<DocumentRun>& runs, std::span<const size_t> order,
                   BatchSize batch_size) {
  if (batch_size.sequences > 0) {
    return std::min(order.size(), static_cast<size_t>(batch_size.sequences));
  }
  size_t count = 0;
  for (int64_t tokens = 0; count < order.size(); ++count) {
    tokens += runs[order[count]].tokens;
    if (count > 0 && tokens > batch_size.tokens) break;
  }
  return count;
}

// Where the batches of `order` begin; the last entry is the end.
std::vector<size_t> batch_begins(const std::vector<DocumentRun>& runs,
                                 std::span<const size_t> order, BatchSize batch_size) {
  std::vector<size_t> begins = {0};
  while (begins.back() < order.size()) {
    begins.push_back(begins.back() + batch_count(runs, order.subspan(begins.back()), batch_size));
  }
  return begins;
}

// Takes the scores of documents that are not this process's from the others.
void complete(std::vector<DocumentScores>& scores, std::span<const char> is_mine,
              const BatchSharing& sharing, at::Device device) {
  std::vector<double> values;
  for (size_t d = 0; d < scores.size(); ++d) {
    for (const ChoiceScore& score : scores[d]) {
      // Each document was scored by one process, and is zero in all others: their sum is its score.
      values.push_back(is_mine[d] ? score.loglikelihood : 0);
      values.push_back(is_mine[d] && score.is_greedy ? 1 : 0);
    }
  }
  sharing.complete(values, device);
  const double* next = values.data();
  for (DocumentScores& document : scores) {
    for (ChoiceScore& score : document) {
      score.loglikelihood = *next++;
      score.is_greedy = *next++ != 0;
    }
  }
}

}  // namespace

std::vector<DocumentScores> score_choices(const Decoder& decoder,
                                          std::span<const EncodedDocument> documents,
                                          BatchSize batch_size,
                                          const std::function<void(int64_t, int64_t)>& progress,
                                          const BatchSharing& sharing) {
  const c10::AutoGradMode no_grad(false);
  std::vector<DocumentRun> runs;
  std::vector<DocumentScores> scores;
  for (const EncodedDocument& document : documents) {
    runs.push_back(run_of(decoder.spec(), document));
    scores.emplace_back(document.choices.size(), ChoiceScore{.is_greedy = true});
  }
  const std::vector<size_t> order = longest_first(runs);
  const std::vector<size_t> begins = batch_begins(runs, order, batch_size);
  std::vector<char> is_mine(documents.size());
  const auto score_batch = [&](int64_t number) {
    const size_t begin = begins[static_cast<size_t>(number)];
    std::vector<const EncodedDocument*> batch;
    std::vector<const DocumentRun*> batch_runs;
    std::vector<DocumentScores*> batch_scores;
    std::vector<BranchedSequence> sequences;
    for (const size_t i :
         std::span(order).subspan(begin, begins[static_cast<size_t>(number) + 1] - begin)) {
      batch.push_back(&documents[i]);
      batch_runs.push_back(&runs[i]);
      batch_scores.push_back(&scores[i]);
      sequences.insert(sequences.end(), runs[i].sequences.begin(), runs[i].sequences.end());
      is_mine[i] = 1;
    }
    add_scores(decoder, branch_predictions(decoder, sequences),
               scored_tokens(batch, batch_runs, batch_scores));
  };
  sharing.for_each(static_cast<int64_t>(begins.size()) - 1, "all was scored", score_batch,
                   [&](int64_t batches) {
                     if (!progress) return;
                     progress(static_cast<int64_t>(begins[static_cast<size_t>(batches)]),
                              static_cast<int64_t>(order.size()));
                   });
  complete(scores, is_mine, sharing, decoder.device());
  for (size_t d = 0; d < scores.size(); ++d) {
    for (const ChoiceScore& score : scores[d]) {
      if (std::isfinite(score.loglikelihood)) continue;
      throw NumericsError("a log-likelihood of document " + std::to_string(d) + " is " +
                              std::to_string(score.loglikelihood) +
                              ": the model's numbers overflow",
                          "compute in fp32; if it does not help, the model is damaged");
    }
  }
  return scores;
}

int64_t best_choice(const EncodedDocument& document, const DocumentScores& scores,
                    bool normalised) {
  const auto value = [&](size_t c) {
    return normalised ? scores[c].loglikelihood / static_cast<double>(document.lengths[c])
                      : scores[c].loglikelihood;
  };
  size_t best = 0;
  for (size_t c = 1; c < scores.size(); ++c) {
    if (value(c) > value(best)) best = c;
  }
  return static_cast<int64_t>(best);
}

double accuracy_stderr(double accuracy, int64_t n) {
  return n < 2 ? 0 : std::sqrt(accuracy * (1 - accuracy) / static_cast<double>(n - 1));
}

}  // namespace littlebit
