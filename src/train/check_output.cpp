// What a run would write over, told apart by what is there.
#include "check_output.h"

#include "littlebit/core/error.h"
#include "littlebit/core/place.h"
#include "littlebit/export/folder.h"

namespace littlebit {

namespace fs = std::filesystem;

void check_output(const RunFolder& folder, const RunOptions& options, const RunRequest& request) {
  const auto refuse = [&](const std::string& what, const std::string& hint) {
    throw UsageError("output.dir " + folder.root().string() + " " + what, hint);
  };
  if (const fs::path whole = resolved(folder.root());
      !whole.empty() && whole == whole.root_path()) {
    refuse("is the root of the file system", "give the run its own folder");
  }
  if (path_exists(folder.root() / "config.json")) {
    refuse("is a model's folder: it holds config.json", "give the run its own folder");
  }
  const std::vector<fs::path> targets = {folder.export_of("packed"), folder.export_of("dense"),
                                         folder.export_of("dbf")};
  for (const fs::path& target : targets) {
    if (!lies_in(options.model.path, target)) continue;
    refuse(
        "would overwrite the model of model.path with its export, " + options.model.path.string(),
        "give another output.dir");
  }
  for (const fs::path& target : targets) {
    std::error_code error;
    if (!path_exists(target) || fs::is_empty(target, error) || is_own_export(target)) continue;
    refuse("holds something that is not an export of this program: " + target.string(),
           "move it away, or give another output.dir");
  }
  const bool own = request.resume == Resume::kAuto ||
                   (request.resume == Resume::kFolder &&
                    resolved(request.resume_from).parent_path() == resolved(folder.checkpoints()));
  if (!own && folder.holds_a_run()) {
    refuse("already already contains a run",
           "--resume auto continues it; give another output.dir to start afresh");
  }
  if (const std::string file = folder.foreign_file(); !file.empty()) {
    refuse("already contains a " + file + " that this program did not write",
           "give the run its own folder");
  }
}

}  // namespace littlebit
