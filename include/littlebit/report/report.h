// report.html: one self-contained page about a run, drawn from the files of its folder alone.
#pragma once

#include <filesystem>

namespace littlebit {

// Reads run.json, metrics.jsonl, factorization.jsonl and config.yaml of `run_folder`, writes
// report.html there. Files that are not there yet leave their sections out. OutputError where it
// cannot be written.
void write_report(const std::filesystem::path& run_folder);

}  // namespace littlebit
