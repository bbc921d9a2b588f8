// The checks of output.dir before a run writes its first byte.
#pragma once

#include "littlebit/train/run.h"
#include "run_folder.h"

namespace littlebit {

// UsageError where output.dir holds a run that this one would overwrite, is a model's folder or the
// root of the file system, or has the teacher where its exports go.
void check_output(const RunFolder& folder, const RunOptions& options, const RunRequest& request);

}  // namespace littlebit
