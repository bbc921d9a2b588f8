// A run's folder: what lies where (docs/formats.md, "Run folder"), whether a run is there, and the
// small files in it. The names stand here and nowhere else.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "littlebit/io/json.h"

namespace littlebit {

class OptionTree;
struct LayerReport;
struct PackedExport;

class RunFolder {
 public:
  explicit RunFolder(std::filesystem::path root) : root_(std::move(root)) {}

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path config() const { return root_ / "config.yaml"; }
  std::filesystem::path run_json() const { return root_ / "run.json"; }
  std::filesystem::path metrics() const { return root_ / "metrics.jsonl"; }
  std::filesystem::path factorization() const { return root_ / "factorization.jsonl"; }
  std::filesystem::path report() const { return root_ / "report.html"; }
  std::filesystem::path log() const { return root_ / "log.txt"; }
  std::filesystem::path tensorboard() const { return root_ / "tensorboard"; }
  std::filesystem::path cache() const { return root_ / "cache"; }
  std::filesystem::path checkpoints() const { return root_ / "checkpoints"; }
  std::filesystem::path exports() const { return root_ / "export"; }
  // `format` as export.formats names it.
  std::filesystem::path export_of(const std::string& format) const { return exports() / format; }

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

 private:
  std::filesystem::path root_;
};

// A part of run.json.
Json export_json(const PackedExport& packed);

}  // namespace littlebit
