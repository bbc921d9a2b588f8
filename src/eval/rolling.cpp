// Rolling log-likelihoods. Windows of one length run together, so no window is padded. Every token
// of a document is predicted once; the last window reaches back for context:
//
//     tokens     0 1 2 3 4 5 6 7 8 9
//     window 1   = = = =
//     window 2           = = = =
//     window 3               - - = =         = predicted, - context only
#include "littlebit/eval/rolling.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "littlebit/core/error.h"
#include "token_nll.h"

namespace littlebit {
namespace {

struct Place {
  size_t document;
  RollingWindow window;
};

// The windows of all documents, longest first.
std::vector<Place> all_windows(std::span<const RollingDocument> documents, int64_t length) {
  std::vector<Place> places;
  for (size_t i = 0; i < documents.size(); ++i) {
    const auto tokens = static_cast<int64_t>(documents[i].ids.size()) - 1;
    for (const RollingWindow& window : rolling_windows(tokens, length))
      places.push_back({i, window});
  }
  std::stable_sort(places.begin(), places.end(), [](const Place& a, const Place& b) {
    return a.window.length > b.window.length;
  });
  return places;
}

// The cross-entropies of windows of one length, by window.
void score_batch(const Decoder& decoder, std::span<const RollingDocument> documents,
                 std::span<const Place> batch, std::span<double> sums) {
  const auto count = static_cast<int64_t>(batch.size());
  const int64_t length = batch.front().window.length;
  std::vector<int64_t> inputs, targets;
  for (const auto& [document, window] : batch) {
    const auto first = documents[document].ids.begin() + window.first;
    inputs.insert(inputs.end(), first, first + length);
    // The last `predicted` inputs predict; those before them are only context.
    targets.insert(targets.end(), first + length - window.predicted + 1, first + length + 1);
  }
  const at::Tensor ids = at::from_blob(inputs.data(), {count, length}, at::kLong);
  const at::Tensor z =
      final_hidden_states(decoder, decoder.context(length), ids.to(decoder.device()));
  std::vector<at::Tensor> rows;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t predicted = batch[i].window.predicted;
    rows.push_back(z[i].narrow(0, length - predicted, predicted));
  }
  const at::Tensor wanted =
      at::from_blob(targets.data(), {static_cast<int64_t>(targets.size())}, at::kLong);
  const at::Tensor scores =
      token_nll(decoder, at::cat(rows), wanted.to(decoder.device())).to(at::kCPU);
  const double* next = scores.const_data_ptr<double>();
  for (size_t i = 0; i < batch.size(); ++i) {
    const int64_t predicted = batch[i].window.predicted;
    sums[i] = std::accumulate(next, next + predicted, 0.0);
    next += predicted;
  }
}

// Where the batches of `places` begin: windows of one length, as many as go into one forward pass.
// The last entry is the end.
std::vector<size_t> batch_begins(std::span<const Place> places, BatchSize batch_size) {
  std::vector<size_t> begins = {0};
  while (begins.back() < places.size()) {
    const size_t first = begins.back();
    const int64_t length = places[first].window.length;
    const auto most = static_cast<size_t>(batch_size.of_length(length));
    size_t last = first;
    while (last < places.size() && last - first < most && places[last].window.length == length) {
      ++last;
    }
    begins.push_back(last);
  }
  return begins;
}

}  // namespace

std::vector<RollingWindow> rolling_windows(int64_t tokens, int64_t length) {
  std::vector<RollingWindow> windows;
  for (int64_t done = 0; done < tokens;) {
    // As lm-evaluation-harness: every token is predicted once. Windows follow each other without
    // overlap but for the last one, which reaches back so that its tokens have a whole window of
    // context.
    const int64_t predicted = std::min(length, tokens - done);
    const int64_t end = done + predicted, inputs = std::min(length, end);
    windows.push_back({.first = end - inputs, .length = inputs, .predicted = predicted});
    done = end;
  }
  return windows;
}

std::vector<double> rolling_loglikelihoods(const Decoder& decoder,
                                           std::span<const RollingDocument> documents,
                                           int64_t length, BatchSize batch_size,
                                           const std::function<void(int64_t, int64_t)>& progress,
                                           const BatchSharing& sharing) {
  const c10::AutoGradMode no_grad(false);
  for (const RollingDocument& document : documents) {
    check_text_ids(document.ids, decoder.spec().vocab_size);
  }
  const std::vector<Place> places = all_windows(documents, length);
  const std::vector<size_t> begins = batch_begins(places, batch_size);
  // By window, so that a document's sum does not depend on which windows were run together.
  std::vector<double> sums(places.size());
  const auto score = [&](int64_t batch) {
    const size_t first = begins[static_cast<size_t>(batch)];
    const size_t count = begins[static_cast<size_t>(batch) + 1] - first;
    score_batch(decoder, documents, std::span(places).subspan(first, count),
                std::span(sums).subspan(first, count));
  };
  sharing.for_each(static_cast<int64_t>(begins.size()) - 1, "the text was scored", score,
                   [&](int64_t batches) {
                     if (!progress) return;
                     progress(static_cast<int64_t>(begins[static_cast<size_t>(batches)]),
                              static_cast<int64_t>(places.size()));
                   });
  sharing.complete(sums, decoder.device());
  std::vector<double> loglikelihoods(documents.size());
  // In the order of windows by length: every process adds up the same numbers in the same order.
  for (size_t i = 0; i < places.size(); ++i) loglikelihoods[places[i].document] -= sums[i];
  return loglikelihoods;
}

TaskResult rolling_result(std::span<const RollingDocument> documents,
                          std::span<const double> loglikelihoods, int64_t length) {
  const double sum = std::accumulate(loglikelihoods.begin(), loglikelihoods.end(), 0.0);
  int64_t words = 0, bytes = 0, tokens = 0;
  for (const RollingDocument& document : documents) {
    words += document.words;
    bytes += document.bytes;
    tokens += static_cast<int64_t>(document.ids.size()) - 1;
  }
  LB_ASSERT(tokens > 0 && words > 0 && bytes > 0, "documents hold text");
  const double per_byte = -sum / static_cast<double>(bytes);
  const double word_perplexity = std::exp(-sum / static_cast<double>(words));
  if (!std::isfinite(sum)) {
    throw NumericsError(
        "the log-likelihood is " + std::to_string(sum) + ": the model's numbers overflow",
        "compute in fp32; if it does not help, the model is damaged");
  }
  return {.protocol = "rolling@" + std::to_string(length),
          .metrics = {{"word_perplexity", word_perplexity},
                      {"byte_perplexity", std::exp(per_byte)},
                      {"bits_per_byte", per_byte / std::numbers::ln2}},
          .counts = {{"documents", static_cast<int64_t>(documents.size())},
                     {"tokens", tokens},
                     {"words", words},
                     {"bytes", bytes}}};
}

}  // namespace littlebit
