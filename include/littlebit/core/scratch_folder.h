// A folder of ours for what is not finished: one process at a time has it, and a mark in it tells
// the next start that it is ours and may be emptied.
//
// Invariant: only what carries the mark is ever taken over or emptied; no link is followed. A
// folder that holds no file is nobody's loss and is taken too.
#pragma once

#include <filesystem>

namespace littlebit {

class ScratchFolder {
 public:
  // Makes the folder, or takes over one that a killed process left, with what is in it. OutputError
  // where something that is not ours has the name, or it cannot be made; BusyError where another
  // process has it.
  explicit ScratchFolder(const std::filesystem::path& path);
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder();  // gives the lock back; the folder stays

  const std::filesystem::path& path() const { return path_; }

  // Removes the folder with all that is in it, the mark last. False where something stays; it is
  // ours then.
  bool remove() noexcept;

  // Whether a folder (no link to one) that carries the mark is at `path`.
  static bool is_ours(const std::filesystem::path& path);

 private:
  std::filesystem::path path_;
  int folder_ = -1, mark_ = -1;
};

}  // namespace littlebit
