// The table of perplexity tasks. A new protocol: the loader of its ids and a row here.
#include "perplexity_tasks.h"

#include <algorithm>

#include "littlebit/eval/perplexity.h"
#include "littlebit/eval/perplexity_texts.h"
#include "littlebit/logging/console.h"

namespace littlebit {
namespace {

struct Protocol {
  const char* task;
  std::vector<int32_t> (*ids)(const TaskInput& input, int64_t sequence_length);
};
constexpr Protocol kProtocols[] = {
    {"wikitext2", wikitext2_ids},
    {kTextTask, text_ids},
};

class ChunkTask : public EvalTask {
 public:
  ChunkTask(std::string name, std::vector<int32_t> ids, const ChunkOptions& how)
      : name_(std::move(name)), ids_(std::move(ids)), how_(how) {}

  TaskResult run(const Decoder& decoder, const SampleSink&) const override {
    const int64_t chunks = static_cast<int64_t>(ids_.size()) / how_.sequence_length;
    Progress progress(name_, how_.limit > 0 ? std::min(how_.limit, chunks) : chunks, "chunks");
    TaskResult result = chunk_perplexity(decoder, ids_, how_,
                                         [&](int64_t done, int64_t) { progress.update(done); });
    result.task = name_;
    return result;
  }

 private:
  std::string name_;
  std::vector<int32_t> ids_;
  ChunkOptions how_;
};

}  // namespace

std::vector<std::string> perplexity_tasks() {
  std::vector<std::string> names;
  for (const Protocol& protocol : kProtocols) {
    if (protocol.task != std::string(kTextTask)) names.emplace_back(protocol.task);
  }
  return names;
}

std::unique_ptr<EvalTask> prepare_perplexity(const std::string& name, const TaskInput& input) {
  for (const Protocol& protocol : kProtocols) {
    if (name != protocol.task) continue;
    const int64_t length = sequence_length(input.options, input.spec);
    return std::make_unique<ChunkTask>(name, protocol.ids(input, length),
                                       ChunkOptions{.sequence_length = length,
                                                    .limit = input.options.limit,
                                                    .batch_size = input.options.batch_size});
  }
  return nullptr;
}

}  // namespace littlebit
