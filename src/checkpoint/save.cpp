// Writing training states. A folder gets its name once every byte of every process is written:
//
//     1. the first process makes step-N.partial, all hear of it
//     2. each process copies its parts (with checkpoint.async) and writes its file there
//     3. finish(): all have written; the first gathers the lists of tensors, writes the manifest
//     4. step-N.partial becomes step-N
#include "littlebit/checkpoint/save.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "checkpoint/names.h"
#include "littlebit/core/disk_space.h"
#include "littlebit/core/error.h"
#include "littlebit/core/stopwatch.h"
#include "littlebit/core/write_file.h"
#include "littlebit/device/device.h"
#include "littlebit/distributed/agreement.h"
#include "littlebit/io/json.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

// What this process writes: its slices, and one process what all have.
std::vector<StatePart> parts_to_write(const Optimizer& optimizer) {
  std::vector<StatePart> parts;
  for (const GroupState& state : optimizer.states()) {
    state.visit([&](const StatePart& part) {
      if (optimizer.communicator().is_first() || !part.is_everywhere) parts.push_back(part);
    });
  }
  return parts;
}

// Into pinned memory from a GPU. A tensor of the CPU is copied too: it changes with the next step.
// These copies are the memory that checkpoint.async costs, and making them is what the training
// waits for.
void copy_values(std::vector<StatePart>& parts) {
  for (StatePart& part : parts) {
    const bool pinned = device_traits(part.values.device()).pins_host_memory;
    const at::Tensor copy =
        at::empty(part.values.sizes(),
                  at::TensorOptions().dtype(part.values.scalar_type()).pinned_memory(pinned));
    copy.copy_(part.values);
    part.values = copy;
  }
}

// `lists`: of the tensors of each process's file. The manifest alone names all tensors, with the
// parts of which they are made: a resume needs no particular number of processes.
Json make_manifest(const TrainingPosition& position, const RunFingerprint& fingerprint,
                   const std::vector<FingerprintChange>& changes,
                   const std::vector<std::string>& lists) {
  std::vector<std::vector<StoredTensor>> stored;
  for (const std::string& list : lists) {
    stored.push_back(stored_from_json(parse_json(list, "a process's list of tensors")));
  }
  Json manifest = {{"format", kFormat},
                   {"version", kVersion},
                   {"step", position.step},
                   {"tokens", position.tokens},
                   {"phase", {{"name", position.phase}, {"begin", position.phase_begin}}},
                   {"trajectory", fingerprint},
                   {"tensors", stored_json(merge_stored(std::move(stored)))}};
  if (position.recent_kl) manifest["recent_kl"] = *position.recent_kl;
  Json changed = Json::array();
  for (const FingerprintChange& change : changes) {
    changed.push_back(
        {{"step", change.step}, {"key", change.key}, {"was", change.was}, {"is", change.is}});
  }
  if (!changed.empty()) manifest["changes"] = std::move(changed);
  return manifest;
}

}  // namespace

int64_t checkpoint_bytes(const Optimizer& optimizer) {
  int64_t bytes = 0;
  for (const GroupState& state : optimizer.states()) bytes += state.whole_bytes();
  return bytes;
}

int64_t bytes_of_copy(const Optimizer& optimizer) {
  int64_t bytes = 0;
  for (const StatePart& part : parts_to_write(optimizer)) {
    bytes += static_cast<int64_t>(part.values.nbytes());
  }
  return bytes;
}

CheckpointSave::CheckpointSave(const fs::path& root, const Optimizer& optimizer,
                               const TrainingPosition& position, const RunFingerprint& fingerprint,
                               const std::vector<FingerprintChange>& changes, bool in_background)
    : processes_(optimizer.communicator()),
      folder_(root / folder_name(position.step)),
      position_(position),
      fingerprint_(fingerprint),
      changes_(changes) {
  // The first process makes the folder, all write into it, the first publishes it.
  in_all(processes_, [&] {
    if (!processes_.is_first()) return;
    create_lasting_folders(root);
    if (!may_be_replaced(folder_)) {
      throw OutputError("cannot write the checkpoint " + folder_.string() +
                            ": something with that name was not made by this program",
                        "move it away");
    }
    require_space(root, static_cast<uint64_t>(checkpoint_bytes(optimizer)),
                  "the checkpoint of step " + std::to_string(position.step));
    output_ = std::make_unique<OutputFolder>(folder_);
  });
  // The others learn from the first process where to write. in_all() around everything that can
  // fail: a process that threw by itself would leave the others waiting in the next collective
  // call.
  staging_ = processes_.gather(output_ ? output_->staging().string() : std::string()).front();
  in_all(processes_, [&] {
    const c10::NoGradGuard no_grad;
    // Views of the state. A thread gets copies; finish() writes from the views themselves.
    parts_ = parts_to_write(optimizer);
    if (!in_background) return;
    copy_values(parts_);
    try {
      thread_ = std::jthread([this] { write(std::exchange(parts_, {})); });
    } catch (const std::system_error&) {  // the system gives no more threads
      write(std::exchange(parts_, {}));
    }
  });
}

// The thread is a member and is waited for after this: write_state() looks between two tensors.
CheckpointSave::~CheckpointSave() { cancelled_ = true; }

void CheckpointSave::write(const std::vector<StatePart>& parts) {
  // Does not throw, since it may run in the thread. finish() rethrows in the main thread, where the
  // other processes can be told.
  const Stopwatch since_begin;
  try {
    const c10::NoGradGuard no_grad;
    stored_ = to_json_line(stored_json(
        write_state(staging_, state_file_name(processes_.rank(), processes_.world()), parts,
                    "after step " + std::to_string(position_.step), &cancelled_)));
  } catch (...) {
    failure_ = std::current_exception();
  }
  seconds_ = since_begin.seconds();
  written_ = true;
}

fs::path CheckpointSave::finish() {
  in_all(processes_, [&] {
    if (thread_.joinable()) thread_.join();
    // Without a thread this is where the file is written, from the state itself.
    if (!written_) write(std::exchange(parts_, {}));
    if (failure_) std::rethrow_exception(failure_);
  });
  // The manifest comes last, when every process's file is complete; the folder gets its name after
  // it. A kill at any point leaves either a whole checkpoint or none.
  const std::vector<std::string> lists = processes_.gather(stored_);
  in_all(processes_, [&] {
    if (!processes_.is_first()) return;
    write_file(staging_ / kManifest,
               to_json_line(make_manifest(position_, fingerprint_, changes_, lists)) + "\n");
    output_->commit();
  });
  return folder_;
}

fs::path save_checkpoint(const fs::path& root, const Optimizer& optimizer,
                         const TrainingPosition& position, const RunFingerprint& fingerprint,
                         const std::vector<FingerprintChange>& changes) {
  return CheckpointSave(root, optimizer, position, fingerprint, changes, /*in_background=*/false)
      .finish();
}

}  // namespace littlebit
