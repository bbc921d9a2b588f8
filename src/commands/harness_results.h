// results.json of lm-evaluation-harness in the form of this program's own.
#pragma once

#include <string_view>

#include "littlebit/io/json.h"

namespace littlebit {

// Whether a file is one that the harness wrote.
bool is_harness_file(const Json& file);

// {"tasks": {NAME: {"protocol": "lm_eval@5shot", "documents": 1838, "acc": 0.6, ...}}} of it, with
// the harness's version where it has written one. Its task `wikitext` is this program's `rolling`.
// Metrics by filters other than the usual one keep the filter in their names.
Json from_harness(const Json& file);

// Whether two protocols are one; the harness's version does not count where one of both does not
// tell it.
bool same_protocol(std::string_view a, std::string_view b);

// Whether a number of such a task is a metric.
bool is_harness_metric(const Json& task, std::string_view name);

}  // namespace littlebit
