// The table of perplexity tasks. A new protocol: the loader of its ids and a row here.
#include "perplexity_tasks.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "batch_fit.h"
#include "littlebit/core/error.h"
#include "littlebit/core/hash.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/stopwatch.h"
#include "littlebit/data/documents.h"
#include "littlebit/data/text.h"
#include "littlebit/eval/perplexity.h"
#include "littlebit/eval/perplexity_texts.h"
#include "littlebit/eval/rolling.h"
#include "littlebit/eval/wikitext_pages.h"
#include "littlebit/logging/progress.h"
#include "task_data.h"

namespace littlebit {
namespace {

struct Protocol {
  const char* task;
  const char* protocol;  // followed by "@<sequence length>"
  TaskText (*text)(const TaskInput& input, int64_t sequence_length);
};
constexpr Protocol kProtocols[] = {
    {"wikitext2", "concatenated_chunks", wikitext2_text},
    {"c4", "sampled_windows", c4_text},
    {"c4_new", "concatenated_chunks", c4_new_text},
    {"ptb", "concatenated_chunks", ptb_text},
    {"ptb_new", "concatenated_chunks", ptb_new_text},
    {kTextTask, "concatenated_chunks", own_text},
};

class ChunkTask : public EvalTask {
 public:
  ChunkTask(const Protocol& protocol, TaskText text, int64_t length, const EvalOptions& options)
      : protocol_(protocol),
        text_(std::move(text)),
        hash_(file_hash(text_.file)),
        batch_size_(options.batch_size),
        how_({.sequence_length = length}) {
    const int64_t chunks = static_cast<int64_t>(text_.ids.size()) / length;
    how_.limit = limited(options.limit, text_.chunks > 0 ? text_.chunks : chunks);
  }

  TaskResult run(const Decoder& decoder, const SampleSink& samples, const BatchSharing& sharing,
                 const Decoder* teacher) const override {
    const int64_t chunks = static_cast<int64_t>(text_.ids.size()) / how_.sequence_length;
    Progress progress(protocol_.task, std::min(how_.limit, chunks), "chunks");
    ChunkOptions how = how_;
    how.batch_size = settled_batch(batch_size_, decoder, how.sequence_length, sharing);
    how.teacher = teacher;
    if (samples) {
      how.each = [&](int64_t chunk, const ChunkScore& score) {
        Json line = {{"task", protocol_.task}, {"index", chunk}, {"nll", score.nll}};
        if (teacher != nullptr) line["kl"] = score.kl;
        samples(line);
      };
    }
    TaskResult result = chunk_perplexity(
        decoder, text_.ids, how, [&](int64_t done, int64_t) { progress.update(done); }, sharing);
    result.task = protocol_.task;
    result.protocol = protocol_.protocol + ("@" + std::to_string(how_.sequence_length));
    result.data = text_.file.string();
    result.data_hash = hash_;
    return result;
  }

  std::vector<std::filesystem::path> files() const override { return {text_.file}; }

 private:
  const Protocol& protocol_;
  TaskText text_;
  std::string hash_, batch_size_;
  ChunkOptions how_;
};

class RollingTask : public EvalTask {
 public:
  explicit RollingTask(const TaskInput& input)
      : length_(sequence_length(input.options, input.spec)), batch_size_(input.options.batch_size) {
    if (input.options.text.empty()) {
      file_ = wikitext2_file("rolling", input, {"wiki.test.raw"});
      const std::string text = python_text(read_file(file_), file_);
      warn_unless_whole_wikitext(file_, text);
      std::vector<std::string> pages = wikitext_pages(text);
      pages.resize(static_cast<size_t>(limited(input.options.limit, size_of(pages))));
      for (const std::string& page : pages) add(input, page, detokenized_wikitext(page));
    } else {
      file_ = input.options.text;
      std::vector<std::string> texts = read_texts(file_, input.options.text_field);
      texts.resize(static_cast<size_t>(limited(input.options.limit, size_of(texts))));
      for (const std::string& text : texts) add(input, text, text);
    }
    hash_ = file_hash(file_);
  }

  TaskResult run(const Decoder& decoder, const SampleSink&, const BatchSharing& sharing,
                 const Decoder*) const override {
    const Stopwatch stopwatch;
    Progress progress(kRollingTask, 0, "windows");
    const std::vector<double> loglikelihoods = rolling_loglikelihoods(
        decoder, documents_, length_, settled_batch(batch_size_, decoder, length_, sharing),
        [&](int64_t done, int64_t) { progress.update(done); }, sharing);
    TaskResult result = rolling_result(documents_, loglikelihoods, length_);
    result.task = kRollingTask;
    result.data = file_.string();
    result.data_hash = hash_;
    result.seconds = stopwatch.seconds();
    return result;
  }

  std::vector<std::filesystem::path> files() const override { return {file_}; }

 private:
  // `counted`: the text whose words and bytes count; `scored`: the one that is predicted. Words and
  // bytes are those of the text before its detokenisation, as the harness counts them: figures per
  // word then compare across tokenizers.
  void add(const TaskInput& input, const std::string& counted, const std::string& scored) {
    const Tokenizer& tokenizer = input.tokenizer;
    const auto prefix = tokenizer.bos_id() ? tokenizer.bos_id() : tokenizer.eos_id();
    if (!prefix) {
      throw InputError("task rolling: the tokenizer names neither a BOS nor an EOS token",
                       "the first token of a document is predicted from it: bos_token in "
                       "tokenizer_config.json");
    }
    const bool with_bos = input.spec.model_type.find("gemma") != std::string::npos;
    RollingDocument document{.ids = tokenizer.encode(scored, with_bos),
                             .words = count_words(counted),
                             .bytes = static_cast<int64_t>(counted.size())};
    document.ids.insert(document.ids.begin(), *prefix);
    documents_.push_back(std::move(document));
  }

  static int64_t size_of(const std::vector<std::string>& texts) {
    return static_cast<int64_t>(texts.size());
  }

  int64_t length_;
  std::string batch_size_;
  std::filesystem::path file_;
  std::string hash_;
  std::vector<RollingDocument> documents_;
};

}  // namespace

std::vector<std::string> perplexity_tasks() {
  std::vector<std::string> names;
  for (const Protocol& protocol : kProtocols) {
    if (protocol.task != std::string(kTextTask)) names.emplace_back(protocol.task);
  }
  names.emplace_back(kRollingTask);
  return names;
}

bool is_chunked(const std::string& task) {
  return std::any_of(std::begin(kProtocols), std::end(kProtocols),
                     [&](const Protocol& protocol) { return task == protocol.task; });
}

std::unique_ptr<EvalTask> prepare_perplexity(const std::string& name, const TaskInput& input) {
  if (name == kRollingTask) return std::make_unique<RollingTask>(input);
  const auto* protocol = std::find_if(std::begin(kProtocols), std::end(kProtocols),
                                      [&](const Protocol& row) { return name == row.task; });
  LB_ASSERT(protocol != std::end(kProtocols), "a perplexity without a protocol");
  const int64_t length = sequence_length(input.options, input.spec);
  return std::make_unique<ChunkTask>(*protocol, protocol->text(input, length), length,
                                     input.options);
}

}  // namespace littlebit
