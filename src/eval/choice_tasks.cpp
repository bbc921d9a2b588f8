// A multiple-choice task from its file to its figures.
#include "choice_tasks.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "littlebit/core/stopwatch.h"
#include "littlebit/core/strings.h"
#include "littlebit/eval/choice_scores.h"
#include "littlebit/logging/console.h"

namespace littlebit {
namespace {

constexpr char kProtocol[] = "lm_eval_0.4.8";

class ChoiceEvalTask : public EvalTask {
 public:
  ChoiceEvalTask(const ChoiceTask& task, const std::filesystem::path& data,
                 std::vector<EncodedDocument> documents, int64_t batch_size)
      : files_({data}),
        name_(task.name),
        // The numbers of a task of one's own are computed alike, but they are not the harness's.
        protocol_(task.origin.empty() ? kProtocol
                                      : std::string(kProtocol) + "+" + task.origin.string()),
        acc_norm_(task.acc_norm),
        documents_(std::move(documents)),
        cut_(std::count_if(documents_.begin(), documents_.end(),
                           [](const EncodedDocument& document) { return document.cut; })),
        batch_size_(batch_size) {
    if (!task.origin.empty()) files_.push_back(task.origin);
  }

  std::vector<std::filesystem::path> files() const override { return files_; }

  int64_t cut() const { return cut_; }

  TaskResult run(const Decoder& decoder, const SampleSink& samples,
                 const BatchSharing& sharing) const override {
    const Stopwatch stopwatch;
    Progress progress(name_, static_cast<int64_t>(documents_.size()), "documents");
    const std::vector<DocumentScores> scores = score_choices(
        decoder, documents_, batch_size_, [&](int64_t done, int64_t) { progress.update(done); },
        sharing);
    int64_t right = 0, right_normalised = 0;
    for (size_t d = 0; d < documents_.size(); ++d) {
      const int64_t gold = documents_[d].gold;
      const bool acc = best_choice(documents_[d], scores[d], false) == gold;
      const bool acc_norm = acc_norm_ && best_choice(documents_[d], scores[d], true) == gold;
      right += acc;
      right_normalised += acc_norm;
      if (samples) samples(sample(d, scores[d], acc, acc_norm));
    }

    const int64_t count = static_cast<int64_t>(documents_.size());
    TaskResult result{.task = name_, .protocol = protocol_, .counts = {{"documents", count}}};
    if (cut_ > 0) result.counts.emplace_back("truncated", cut_);
    const auto add = [&](const std::string& name, int64_t hits) {
      const double share = static_cast<double>(hits) / static_cast<double>(count);
      result.metrics.emplace_back(name, share);
      result.metrics.emplace_back(name + "_stderr", accuracy_stderr(share, count));
    };
    add("acc", right);
    if (acc_norm_) add("acc_norm", right_normalised);
    result.seconds = stopwatch.seconds();
    return result;
  }

 private:
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

  std::vector<std::filesystem::path> files_;
  std::string name_, protocol_;
  bool acc_norm_;
  std::vector<EncodedDocument> documents_;
  int64_t cut_;  // documents with a context that was cut
  int64_t batch_size_;
};

// Ids a sequence may have: what was asked for, or all that the model has.
int64_t max_length(const TaskInput& input) {
  return input.options.sequence_length == 0 ? input.spec.max_positions
                                            : sequence_length(input.options, input.spec);
}

}  // namespace

std::unique_ptr<EvalTask> prepare_choices(const std::string& name, const TaskInput& input) {
  const ChoiceTask task = load_choice_task(name, input.options.task_folder);
  const std::filesystem::path file = find_choice_data(task, input.options.data_root);
  const int64_t limit = input.options.limit;
  const std::vector<ChoiceDocument> documents = read_choice_documents(task, file, limit);
  const int64_t count = static_cast<int64_t>(documents.size());
  if (task.documents != 0 && count != task.documents && count != limit) {
    log_warning(file.string() + ": " + format_count(count) + " documents; the data of task " +
                task.name + " has " + format_count(task.documents) +
                ", so the figures are not those of the whole benchmark");
  }
  const int64_t longest = max_length(input);
  auto prepared = std::make_unique<ChoiceEvalTask>(
      task, file,
      encode_documents(documents, input.tokenizer, harness_adds_special_tokens(input.spec), longest,
                       task.name, file),
      input.options.batch_size);
  if (prepared->cut() > 0) {
    log_warning(task.name + ": of " + format_count(prepared->cut()) +
                " documents the context's beginning is left out, as they have more than " +
                format_count(longest) + " tokens");
  }
  return prepared;
}

}  // namespace littlebit
