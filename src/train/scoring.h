// Perplexities taken during a run, on the texts the session tokenised once.
#pragma once

#include "littlebit/models/decoder.h"
#include "session.h"

namespace littlebit {

// Scores every task text and appends {"step", "model", "task", "protocol", "perplexity", "nll",
// "tokens", "seconds"} per task to `scores`. `model` is "teacher" or "student". Returns the first
// task's perplexity, 0 where nothing is to be scored.
double score_model(const Session& session, const Decoder& decoder, const std::string& model,
                   int64_t step, Json& scores);

}  // namespace littlebit
