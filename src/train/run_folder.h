// A run's folder: whether a run is there, and the small files in it.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "littlebit/export/packed.h"
#include "littlebit/io/json.h"
#include "littlebit/report/run_files.h"

namespace littlebit {

class OptionTree;
struct LayerReport;
struct PackedExport;

class RunFolder : public RunFiles {
 public:
  using RunFiles::RunFiles;

  // Of what a run writes, exports aside, that which is there, in the order in which people are
  // shown it.
  std::vector<std::filesystem::path> written() const;

  bool holds_a_run() const;  // or anything else that a new run would overwrite
  // A file of the name of a run's that no run wrote; or "". Where nothing else shows that a run was
  // there (the lock's claim, a checkpoint, the form of log.txt), each shows it by its own form.
  std::string foreign_file() const;
  void open_log() const;
  void write_config(const OptionTree& tree) const;
  void write_factorization(std::span<const LayerReport> layers) const;

  Json read_run_json() const;  // {} where there is none yet
  void write_run_json(const Json& run) const;
};

// A part of run.json.
Json export_json(const PackedExport& packed);

}  // namespace littlebit
