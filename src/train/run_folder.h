// The files of a run's folder other than checkpoints and exports (docs/formats.md, "Run folder").
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "littlebit/eval/results.h"
#include "littlebit/export/folder.h"
#include "littlebit/io/json.h"
#include "littlebit/quant/initialize.h"
#include "littlebit/train/options.h"

namespace littlebit {

class RunFolder {
 public:
  explicit RunFolder(std::filesystem::path root) : root_(std::move(root)) {}

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path checkpoints() const { return root_ / "checkpoints"; }
  std::filesystem::path metrics() const { return root_ / "metrics.jsonl"; }
  std::filesystem::path packed_export() const { return root_ / "export" / "packed"; }
  std::filesystem::path dense_export() const { return root_ / "export" / "dense"; }
  std::filesystem::path tensorboard() const { return root_ / "tensorboard"; }
  std::filesystem::path report() const { return root_ / "report.html"; }

  bool holds_a_run() const;  // or anything else that a new run would overwrite
  // A file of the name of a run's that no run wrote; or "". Where nothing else shows that a run was
  // there (the lock's claim, a checkpoint, the form of log.txt), each shows it by its own form.
  std::string foreign_file() const;
  void open_log() const;
  void write_config(const OptionTree& tree) const;
  void write_factorization(std::span<const LayerReport> layers) const;

  Json read_run_json() const;  // {} where there is none yet
  void write_run_json(const Json& run) const;

 private:
  std::string first_file() const;  // of those a run writes beside its log; or ""

  std::filesystem::path root_;
};

// A part of run.json.
Json export_json(const PackedExport& packed);

}  // namespace littlebit
