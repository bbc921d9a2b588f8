// Writes a checkpoint. In the background: the state is copied, then a thread of this process writes
// its file while training continues. Everything that the processes must agree on (who has failed,
// the manifest, the folder's name) is exchanged by finish(), from the main thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "littlebit/checkpoint/checkpoint.h"
#include "littlebit/core/write_file.h"

namespace littlebit {

// Of the whole state, on disk: latents, vectors, and two moments of each with their scales. The
// small manifest is not counted.
int64_t checkpoint_bytes(const Optimizer& optimizer);

// Of what this process writes, which is what a save in the background copies.
int64_t bytes_of_copy(const Optimizer& optimizer);

// Writes <root>/step-N and returns its path. OutputError where it cannot be written, or something
// that is no checkpoint has the name; older checkpoints are untouched.
std::filesystem::path save_checkpoint(const std::filesystem::path& root, const Optimizer& optimizer,
                                      const TrainingPosition& position,
                                      const RunFingerprint& fingerprint,
                                      const std::vector<FingerprintChange>& changes = {});

class CheckpointSave {
 public:
  // Collective. OutputError where the disk has no room for it, or a folder cannot be made. In the
  // background the state may change as soon as this returns; else finish() writes, and the
  // optimizer must live and stay as it is until then.
  CheckpointSave(const std::filesystem::path& root, const Optimizer& optimizer,
                 const TrainingPosition& position, const RunFingerprint& fingerprint,
                 const std::vector<FingerprintChange>& changes, bool in_background);
  CheckpointSave(const CheckpointSave&) = delete;
  CheckpointSave& operator=(const CheckpointSave&) = delete;
  ~CheckpointSave();  // not finished: writing stops, and what is there of it is removed

  // Whether the thread has done its work, well or badly: finish() does not wait for it then.
  bool is_written() const { return written_; }

  // Collective, once. Waits for the thread, then publishes the folder and returns it. What failed
  // in one process is thrown in all: OutputError, NumericsError as write_state().
  std::filesystem::path finish();

  double seconds() const { return seconds_; }  // of writing; after finish()
  const TrainingPosition& position() const { return position_; }

 private:
  void write(const std::vector<StatePart>& parts);

  Communicator& processes_;
  std::filesystem::path folder_, staging_;
  TrainingPosition position_;
  RunFingerprint fingerprint_;
  std::vector<FingerprintChange> changes_;
  std::unique_ptr<OutputFolder> output_;  // in the first process
  std::vector<StatePart> parts_;          // of this process: its own, or copies
  std::string stored_;                    // what write() wrote, as JSON
  std::exception_ptr failure_;            // of write()
  double seconds_ = 0;                    // of write()
  std::atomic<bool> written_{false}, cancelled_{false};
  std::jthread thread_;  // destroyed first: it is waited for
};

}  // namespace littlebit
