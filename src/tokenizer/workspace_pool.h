// Workspaces that wait for the next call, so that their caches stay warm. Any number of threads.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "tokenizer/model.h"

namespace littlebit::tokenizer {

class WorkspacePool {
 public:
  std::unique_ptr<Workspace> take() {
    std::lock_guard lock(mutex_);
    if (free_.empty()) return std::make_unique<Workspace>();
    auto workspace = std::move(free_.back());
    free_.pop_back();
    return workspace;
  }
  void give(std::unique_ptr<Workspace> workspace) {
    std::lock_guard lock(mutex_);
    free_.push_back(std::move(workspace));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Workspace>> free_;
};

}  // namespace littlebit::tokenizer
