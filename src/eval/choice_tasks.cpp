// A multiple-choice task from its file to its figures.
#include "choice_tasks.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "batch_fit.h"
#include "bootstrap.h"
#include "littlebit/core/hash.h"
#include "littlebit/core/stopwatch.h"
#include "littlebit/core/strings.h"
#include "littlebit/eval/choice_data.h"
#include "littlebit/eval/choice_documents.h"
#include "littlebit/eval/choice_requests.h"
#include "littlebit/eval/choice_scores.h"
#include "littlebit/eval/choice_task.h"
#include "littlebit/eval/few_shot.h"
#include "littlebit/logging/console.h"
#include "littlebit/logging/progress.h"

namespace littlebit {
namespace {

constexpr char kProtocol[] = "lm_eval_0.4.8";

// "lm_eval_0.4.8@5shot"; of a task of one's own and of one that was not compared it says so, for
// their numbers are computed alike, but they are not known to be the harness's.
std::string protocol_of(const ChoiceTask& task, int64_t shots) {
  std::string protocol = kProtocol;
  if (shots > 0) protocol += "@" + std::to_string(shots) + "shot";
  if (!task.origin.empty()) return protocol + "+" + task.origin.string();
  return task.compared ? protocol : protocol + "(not compared)";
}

class ChoiceEvalTask : public EvalTask {
 public:
  ChoiceEvalTask(const ChoiceTask& task, std::vector<std::filesystem::path> files,
                 std::vector<EncodedDocument> documents, const EvalOptions& options)
      : files_(std::move(files)),
        hash_(file_hash(files_.front())),
        name_(task.name),
        protocol_(protocol_of(task, options.num_fewshot)),
        perplexity_(task.perplexity),
        acc_norm_(task.acc_norm),
        documents_(std::move(documents)),
        shots_(options.num_fewshot),
        cut_(std::count_if(documents_.begin(), documents_.end(),
                           [](const EncodedDocument& document) { return document.cut; })),
        batch_size_(options.batch_size) {
    if (!task.origin.empty()) files_.push_back(task.origin);
  }

  std::vector<std::filesystem::path> files() const override { return files_; }

  int64_t cut() const { return cut_; }

  TaskResult run(const Decoder& decoder, const SampleSink& samples, const BatchSharing& sharing,
                 const Decoder*) const override {
    const Stopwatch stopwatch;
    Progress progress(name_, static_cast<int64_t>(documents_.size()), "documents");
    const std::vector<DocumentScores> scores = score_choices(
        decoder, documents_, settled_batch(batch_size_, decoder, longest(), sharing),
        [&](int64_t done, int64_t) { progress.update(done); }, sharing);
    int64_t right = 0, right_normalised = 0;
    std::vector<double> loglikelihoods;  // of the one choice, where there is no other
    for (size_t d = 0; d < documents_.size(); ++d) {
      const int64_t gold = documents_[d].gold;
      // With one choice (LAMBADA) it counts as right if the model would have written it; with
      // several, if it is the likeliest.
      const bool acc = perplexity_ ? scores[d].front().is_greedy
                                   : best_choice(documents_[d], scores[d], false) == gold;
      const bool acc_norm = acc_norm_ && best_choice(documents_[d], scores[d], true) == gold;
      right += acc;
      right_normalised += acc_norm;
      if (perplexity_) loglikelihoods.push_back(scores[d].front().loglikelihood);
      if (samples) samples(sample(d, scores[d], acc, acc_norm));
    }

    const int64_t count = static_cast<int64_t>(documents_.size());
    TaskResult result{.task = name_,
                      .protocol = protocol_,
                      .counts = {{"documents", count}},
                      .data = files_.front().string(),
                      .data_hash = hash_};
    if (shots_ > 0) result.counts.emplace_back("num_fewshot", shots_);
    if (cut_ > 0) result.counts.emplace_back("truncated", cut_);
    const auto add = [&](const std::string& name, int64_t hits) {
      const double share = static_cast<double>(hits) / static_cast<double>(count);
      result.metrics.emplace_back(name, share);
      result.metrics.emplace_back(name + "_stderr", accuracy_stderr(share, count));
    };
    if (perplexity_) {
      result.metrics.emplace_back("perplexity", perplexity_of(loglikelihoods));
      result.metrics.emplace_back("perplexity_stderr", perplexity_stderr(loglikelihoods));
    }
    add("acc", right);
    if (acc_norm_) add("acc_norm", right_normalised);
    result.seconds = stopwatch.seconds();
    return result;
  }

 private:
  // Ids of the longest document's choices together, which are run side by side.
  int64_t longest() const {
    size_t most = 1;
    for (const EncodedDocument& document : documents_) {
      size_t ids = 0;
      for (const ChoiceRequest& choice : document.choices) ids += choice.ids.size();
      most = std::max(most, ids);
    }
    return static_cast<int64_t>(most);
  }

  Json sample(size_t d, const DocumentScores& scores, bool acc, bool acc_norm) const {
    Json values = Json::array();
    for (const ChoiceScore& score : scores) values.push_back(score.loglikelihood);
    Json line = {{"task", name_},
                 {"index", d},
                 {"gold", documents_[d].gold},
                 {"loglikelihoods", values},
                 {"acc", acc ? 1 : 0}};
    if (acc_norm_) line["acc_norm"] = acc_norm ? 1 : 0;
    return line;
  }

  std::vector<std::filesystem::path> files_;  // the first is the data
  std::string hash_, name_, protocol_;
  bool perplexity_, acc_norm_;
  std::vector<EncodedDocument> documents_;
  int64_t shots_;
  int64_t cut_;  // documents with a context that was cut
  std::string batch_size_;
};

// Ids a sequence may have: what was asked for, or all that the model has.
int64_t max_length(const TaskInput& input) {
  return input.options.sequence_length == 0 ? input.spec.max_positions
                                            : sequence_length(input.options, input.spec);
}

}  // namespace

std::unique_ptr<EvalTask> prepare_choices(const ChoiceTask& task, const TaskInput& input) {
  const std::filesystem::path file = find_choice_data(task, input.options.data_root);
  const EvalOptions& options = input.options;
  std::vector<std::filesystem::path> files = {file};
  std::optional<FewShotExamples> examples;
  if (options.num_fewshot > 0) {
    const std::filesystem::path pool = find_example_data(task, options.data_root);
    examples.emplace(task, pool, options.num_fewshot);
    if (pool != file) files.push_back(pool);
  }
  const std::vector<ChoiceDocument> documents =
      read_choice_documents(task, file, options.limit, examples ? &*examples : nullptr);
  const int64_t count = static_cast<int64_t>(documents.size());
  if (task.documents != 0 && count != limited(options.limit, task.documents)) {
    log_warning(file.string() + ": " + format_count(count) + " documents; the data of task " +
                task.name + " has " + format_count(task.documents) +
                ", so the figures are not those of the whole benchmark");
  }
  const int64_t longest = max_length(input);
  auto prepared = std::make_unique<ChoiceEvalTask>(
      task, std::move(files),
      encode_documents(documents, input.tokenizer, harness_adds_special_tokens(input.spec), longest,
                       task.name),
      options);
  if (prepared->cut() > 0) {
    log_warning(task.name + ": of " + format_count(prepared->cut()) +
                " documents the context's beginning is left out, as they have more than " +
                format_count(longest) + " tokens");
  }
  return prepared;
}

}  // namespace littlebit
