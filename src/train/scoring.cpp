#include "scoring.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "littlebit/eval/results.h"
#include "littlebit/logging/console.h"

namespace littlebit {

double score_model(const Session& session, const Decoder& decoder, const std::string& model,
                   int64_t step, Json& scores) {
  double first = 0;
  for (const TaskText& text : session.task_texts) {
    const PerplexityResult result = score_text(decoder, text, session.scoring);
    char line[256];
    std::snprintf(line, sizeof line, "%s perplexity %.4g on %s (%s, %lld tokens)%s", model.c_str(),
                  result.perplexity, text.task.c_str(), result.protocol.c_str(),
                  static_cast<long long>(result.tokens),
                  model == "student" ? (" after step " + std::to_string(step)).c_str() : "");
    log_info(line);
    Json entry = to_json(result);
    entry["step"] = step;
    entry["model"] = model;
    entry["task"] = text.task;
    scores.push_back(std::move(entry));
    if (first == 0) first = result.perplexity;
  }
  return first;
}

}  // namespace littlebit
