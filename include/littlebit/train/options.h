// Every option of a training run, and the checks that span several of them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "littlebit/config/option_group.h"
#include "littlebit/config/option_tree.h"
#include "littlebit/core/kinds.h"
#include "littlebit/data/options.h"
#include "littlebit/distill/options.h"
#include "littlebit/distill/step.h"
#include "littlebit/eval/options.h"
#include "littlebit/optim/gradient_reducer.h"
#include "littlebit/optim/options.h"
#include "littlebit/quant/options.h"
#include "littlebit/train/recipes.h"

namespace littlebit {

enum class TeacherPlacement { kAuto, kReplicated, kSharded, kSpread, kStreamed };

// Section `train`.
struct TrainOptions {
  int64_t steps = 0;  // 0: from epochs
  double epochs = 0;  // 0: from steps
  int64_t stop_after = 0;
  int64_t micro_batch_size = 4;
  int64_t global_batch_size = 0;  // 0: micro_batch_size
  FloatKind dtype = FloatKind::kAuto;
  DeviceKind device = DeviceKind::kAuto;
  int64_t seed = 42;
  Recompute recompute = Recompute::kAuto;
  KeptInputs inputs;
  TeacherPlacement teacher = TeacherPlacement::kAuto;
  ReduceOptions reduce;
  int64_t threads = 0;     // 0: all
  std::string time_limit;  // "": none
  double peer_timeout = 600;
  void declare(OptionGroup& group);

  std::optional<double> limit_seconds() const;  // nothing where there is none or it cannot be read
  int64_t sequences_per_step() const {
    return global_batch_size > 0 ? global_batch_size : micro_batch_size;
  }
};

struct CheckpointOptions {
  int64_t every = 0;          // 0: only at the end
  double every_minutes = 30;  // 0: never
  int64_t keep = 2;
  bool async = true;
  void declare(OptionGroup& group);
};

enum class ExportedRows { kAuto, kBf16, kInt8, kInt4 };
enum class ExportedGroups { kAuto, k32, k64, k128 };

struct ExportOptions {
  std::vector<std::string> formats = {"packed"};
  FloatKind dense_dtype = FloatKind::kFp32;  // kFp32 or kBf16
  ExportedRows embeddings = ExportedRows::kAuto, head = ExportedRows::kAuto;
  ExportedGroups group_size = ExportedGroups::kAuto;
  void declare(OptionGroup& group);
  void check(OptionTree& tree) const;  // adds an error for an unknown format

  bool writes(const std::string& format) const;
};

// The rest of section `eval`, and the sections `log` and `output`.
struct EvalScheduleOptions {
  int64_t every = 0;  // steps; 0: before and after training only
  void declare(OptionGroup& group);
};
struct LogOptions {
  int64_t every = 1;
  bool tensorboard = true;
  void declare(OptionGroup& group);
};
struct OutputOptions {
  std::filesystem::path dir;
  void declare(OptionGroup& group);
};

struct RunOptions {
  RecipeOptions recipe;
  ModelOptions model;
  QuantOptions quant;
  DataOptions data;
  DistillOptions distill;
  BlockwiseOptions blockwise;
  OptimOptions optim;
  TrainOptions train;
  CheckpointOptions checkpoint;
  EvalOptions eval;
  EvalScheduleOptions eval_schedule;
  ExportOptions export_;
  LogOptions log;
  OutputOptions output;

  void declare(OptionTree& tree);  // adds every section
  // Add an error for everything that a run needs and lacks, and for every contradiction; check_plan
  // of what its plan and memory depend on. To be called before tree.finish().
  void check(OptionTree& tree) const;
  void check_plan(OptionTree& tree) const;
};

}  // namespace littlebit
