// Finished layers kept while a model is being factorised, one file each, so that a start that was
// stopped or killed can be continued: a folder of ours beside the file of initial factors that it
// leads to, removed when that is complete.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>

#include "littlebit/core/scratch_folder.h"
#include "littlebit/quant/initialize.h"

namespace littlebit {

class LayerCache {
 public:
  // Where the folder cannot be made, or another process has it, nothing is kept (a warning).
  // `is_private`: no other run keeps anything in the parent folder, so what other settings left
  // there, and an empty parent, go with it.
  // `joins`: the first process of this run has the folder; layers are found and kept there, but it
  // is not this process's to remove.
  LayerCache(const std::filesystem::path& folder, bool is_private, bool joins = false);

  // Of several threads at once, each for a layer of its own. A damaged file is passed over.
  std::optional<LayerFactors> find(const LayerPlan& plan) const;
  void keep(const LayerPlan& plan, const LayerFactors& factors);

  bool keeps() const { return scratch_ != nullptr || joins_; }
  int64_t num_found() const { return num_found_; }  // of an earlier start
  int64_t num_kept() const { return num_found_ + num_new_; }
  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path file_of(const LayerPlan& plan) const;
  void remove();

 private:
  std::filesystem::path folder_;
  bool is_private_, joins_;
  std::unique_ptr<ScratchFolder> scratch_;  // null: nothing is kept
  std::atomic<bool> failed_{false};
  mutable std::atomic<int64_t> num_found_{0};
  std::atomic<int64_t> num_new_{0};
};

}  // namespace littlebit
