// Opens what a run needs in the order of session.h, and starts or resumes the student.
#include "session.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <numeric>

#include "blockwise.h"
#include "export_model.h"
#include "factor_cache.h"
#include "layer_cache.h"
#include "littlebit/core/error.h"
#include "littlebit/core/kill_point.h"
#include "littlebit/core/place.h"
#include "littlebit/core/strings.h"
#include "littlebit/device/device.h"
#include "littlebit/device/memory.h"
#include "littlebit/distill/sharded_teacher.h"
#include "littlebit/distill/streamed_teacher.h"
#include "littlebit/distributed/agreement.h"
#include "littlebit/distributed/process_group.h"
#include "littlebit/export/dbf.h"
#include "littlebit/logging/console.h"
#include "littlebit/logging/progress.h"
#include "littlebit/models/architectures.h"
#include "littlebit/models/folder_notes.h"
#include "littlebit/models/load.h"
#include "littlebit/nn/scratch_tensor.h"
#include "littlebit/tokenizer/folder.h"
#include "plan.h"
#include "sharding.h"

namespace littlebit {
namespace {

// With zeros in it. `step`: where the run goes on.
TrainedModel make_student(const Session& session, const Decoder& teacher,
                          const std::filesystem::path& scratch, int64_t step) {
  // With blockwise.storage: disk, state of blocks that are not being trained is kept in unnamed
  // files; once all are trained together, it is all in memory.
  StateKeeper keeper;
  if (!scratch.empty() && step <= session.blockwise_steps) {
    keeper = [scratch](int64_t numel, at::ScalarType dtype) {
      return scratch_zeros(scratch, {numel}, dtype);
    };
  }
  TrainedModel made;
  made.student = std::make_unique<Student>(open_decoder(teacher), session.plans);
  in_all(*session.processes, [&] {
    made.optimizer =
        std::make_unique<Optimizer>(*made.student, session.options.optim,
                                    session.options.quant.surrogate, *session.processes, keeper);
  });
  return made;
}

LatentSink sink_of(const Session& session, TrainedModel& model) {
  return {*model.student, model.optimizer->states(), session.options.quant.latent_rms};
}

void pass_over(const Error& damaged) {  // the factors are then made anew
  log_warning("ignoring the cached factors: " + std::string(damaged.what()));
}

bool is_whole(const std::filesystem::path& file) {
  try {
    verify_factors(file);
    return true;
  } catch (const Error& damaged) {
    pass_over(damaged);
    return false;
  }
}

// False, with a warning, where the file cannot be read.
bool load_cached_factors(const Session& session, TrainedModel& model,
                         const std::filesystem::path& file) {
  try {
    const FactorFile factors(file);
    plan_from_file(model.student->decoder(), factors, session.plans);
    LatentSink sink = sink_of(session, model);
    model.layers = load_factors(sink, factors, session.plans, session.teacher_folder.get());
    log_info("initial factors from " + file.string());
    return true;
  } catch (const Error& damaged) {
    pass_over(damaged);
    return false;
  }
}

int64_t sum_of(Communicator& processes, int64_t mine) {
  const std::vector<int64_t> all = numbers_of(processes, mine);
  return std::accumulate(all.begin(), all.end(), int64_t{0});
}

// Makes the layers that `layers` does not have, and keeps them there; each process its own.
void factorize(const Session& session, TrainedModel& model, LayerCache& layers) {
  Communicator& processes = *session.processes;
  LatentSink sink = sink_of(session, model);
  Progress progress("factorising", static_cast<int64_t>(session.plans.size()), "layers");
  int64_t ready = 0;
  const LayerKeeper keeper{
      .find = [&](const LayerPlan& plan) { return layers.find(plan); },
      .keep = [&](const LayerPlan& plan, const LayerFactors& made) { layers.keep(plan, made); }};
  const auto show = [&](const LayerReport& layer) {
    progress.update(++ready,
                    layer.plan.name + ", relative error " + format_fixed(layer.relative_error, 3));
    kill_point("factorisation");
  };
  try {
    model.layers =
        factorize_model(sink, *session.teacher_folder, session.plans, session.options.quant,
                        static_cast<uint64_t>(session.options.train.seed), show, keeper, processes);
  } catch (const Error& error) {
    if (error.code() != ExitCode::kStopped) throw;
    const int64_t kept = sum_of(processes, layers.num_kept());  // all are here
    const std::string where = "; " + std::to_string(kept) + " are cached in " +
                              layers.folder().string() + ", and the next start continues from them";
    in_all(processes, [&] {
      throw Error(ExitCode::kStopped, error.what() + (kept == 0 ? ", none is cached" : where));
    });
  }
  progress.finish();
  if (const int64_t found = sum_of(processes, layers.num_found()); found > 0) {
    log_info(std::to_string(found) + " of " + std::to_string(session.plans.size()) +
             " layers were made by an earlier start");
  }
}

}  // namespace

Session open_model(const RunOptions& options, const RunRequest& request) {
  use_threads(options.train.threads > 0 ? options.train.threads : request.threads);
  return open_model(options, open_device(options.train.device, "train.device", request.local_rank));
}

Session open_model(const RunOptions& options, at::Device device) {
  Session session{.options = options, .device = device};
  session.dtype = float_type(options.train.dtype, device);

  session.teacher_folder = std::make_unique<HfFolder>(options.model.path);
  if (path_exists(options.model.path / "littlebit_config.json")) {
    throw InputError(options.model.path.string() + " is a packed LittleBit model, not a teacher",
                     "give the original model; a packed one can be quant.init_file");
  }
  session.spec = parse_model_spec(session.teacher_folder->config());
  session.blockwise_steps = BlockwiseSchedule(options.blockwise, session.spec.num_layers).steps();
  // With epochs the number of steps is not known before the text is tokenised.
  if (options.train.epochs == 0) {
    session.steps_by_options = session.blockwise_steps + options.train.steps;
  }
  warn_of_what_does_not_act(*session.teacher_folder, session.spec);
  if (session.spec.learned_positions && options.data.sequence_length > session.spec.max_positions) {
    throw UsageError("data.sequence_length is " + std::to_string(options.data.sequence_length) +
                         ", the teacher has only " + std::to_string(session.spec.max_positions) +
                         " positions",
                     "lower data.sequence_length");
  }
  if (options.data.sequence_length > session.spec.max_positions) {
    log_warning("data.sequence_length " + std::to_string(options.data.sequence_length) +
                " is beyond the teacher's max_position_embeddings " +
                std::to_string(session.spec.max_positions));
  }
  session.named_tasks = read_tasks(options.eval);
  return session;
}

bool needs_tokenizer(const RunOptions& options) {
  const auto is_text = [](const SourceOptions& source) {
    return source.format != SourceFormat::kTokens;
  };
  return any_tasks(options.eval) ||
         std::any_of(options.data.train.begin(), options.data.train.end(), is_text);
}

void open_texts(Session& session) {
  const RunOptions& options = session.options;
  if (!needs_tokenizer(options)) return;
  session.tokenizer = load_tokenizer(options.model.path);
  check_vocabulary(*session.tokenizer, session.spec.vocab_size);
  session.tasks =
      prepare_tasks(session.named_tasks, {options.eval, *session.tokenizer, session.spec});
}

void make_plans(Session& session, const OptionTree& tree) {
  Decoder shape = empty_decoder(session.spec, session.dtype, at::Device(at::kCPU));
  QuantOptions& quant = session.options.quant;
  if (!quant.starts_from_file()) {
    session.plans = plan_model(shape, quant);
    check_exports(session);
    return;
  }
  if (quant.ranks == Ranks::kByLoss && tree.is_set("quant.ranks")) {
    throw UsageError("quant.ranks=by_loss with quant.init=file: ranks come from the file",
                     "leave out quant.ranks, or take another quant.init");
  }
  // Ranks and paths come from the file. Options that were set explicitly must agree with it; those
  // left at their defaults are not compared.
  const FactorFile file(quant.init_file);
  std::vector<LayerPlan> expected;
  session.plans = plan_from_file(shape, file, {});
  const bool two_paths = session.plans.at(0).paths == 2;
  const bool bits_set = tree.is_set("quant.bits_per_weight") || tree.is_set("quant.kv_factor") ||
                        tree.is_set("quant.min_rank");
  if (bits_set || tree.is_set("quant.residual")) {
    QuantOptions asked = quant;
    if (!tree.is_set("quant.residual")) asked.residual = two_paths;
    expected = plan_model(shape, asked);
    if (!bits_set) {  // only the number of paths was asked for
      for (size_t i = 0; i < expected.size(); ++i) expected[i].rank = session.plans[i].rank;
    }
    plan_from_file(shape, file, expected);
  }
  quant.residual = two_paths;
  check_exports(session);
}

void check_exports(const Session& session) {
  const ExportOptions& options = session.options.export_;
  row_formats(options, session.spec.tied_embeddings);
  if (options.writes("dbf")) require_dbf(session.spec, session.plans.at(0).paths);
}

Corpus build_corpus(const Session& session, const std::filesystem::path& default_cache) {
  const DataOptions& data = session.options.data;
  return Corpus::build(data, session.tokenizer.get(), session.spec.vocab_size,
                       data.cache_dir.empty() ? default_cache : data.cache_dir,
                       at::get_num_threads());
}

int64_t steps_of(const Session& session, const Corpus& corpus) {
  const TrainOptions& train = session.options.train;
  if (train.epochs == 0) return session.steps_by_options;
  const auto steps = static_cast<int64_t>(train.epochs * static_cast<double>(corpus.num_blocks()) /
                                          static_cast<double>(train.sequences_per_step()));
  if (steps < 1) {
    throw UsageError("train.epochs=" + format_fixed(train.epochs, 3) + " over " +
                         format_count(corpus.num_blocks()) + " blocks of " +
                         std::to_string(session.options.data.sequence_length) +
                         " tokens gives less than one step of " +
                         std::to_string(train.sequences_per_step()) + " sequences",
                     "raise train.epochs, lower train.global_batch_size, or add text");
  }
  // train.steps is 0 where epochs are given.
  return session.blockwise_steps + train.steps + steps;
}

namespace {

bool shards_teacher(const Session& session) {
  const TeacherPlacement asked = session.options.train.teacher;
  const int64_t world = session.processes->world();
  if (asked != TeacherPlacement::kAuto || world == 1 || device_traits(session.device).is_host) {
    return shards_teacher(asked, session.device, world, 0, 0);
  }
  Decoder shape = empty_decoder(session.spec, session.dtype, at::Device(at::kCPU));
  // Free memory differs between processes: what one cannot hold, all divide.
  const double bytes = teacher_block_bytes(shape);
  return session.processes->any(
      shards_teacher(asked, session.device, world, bytes, free_memory(session.device)));
}

}  // namespace

namespace {

// train.teacher: auto on GPUs. Collective.
bool streams_teacher(const Session& session) {
  if (session.options.train.teacher != TeacherPlacement::kAuto ||
      device_traits(session.device).is_host) {
    return false;
  }
  return !session.processes->any(!fits_streamed_only(session, free_memory(session.device)));
}

}  // namespace

Communicator* place_teacher(Session& session) {
  if (streams_teacher(session)) {
    session.options.train.teacher = TeacherPlacement::kStreamed;
    log_info("train.teacher: auto: streamed, since by the estimate it would not fit otherwise");
  }
  if (!shards_teacher(session)) return nullptr;
  Communicator& all = *session.processes;
  const bool is_spread = session.options.train.teacher == TeacherPlacement::kSpread;
  Communicator* host = is_spread ? nullptr : connect_host(all, session.local_world);
  if (all.world() > 1) {
    log_info("the teacher's blocks are divided among " +
             (host != nullptr ? "the " + std::to_string(host->world()) + " processes of each host"
                              : "all " + std::to_string(all.world()) + " processes"));
  }
  return host != nullptr ? host : &all;
}

Decoder load_teacher(const Session& session, Communicator* divided_among) {
  HfFolder& folder = *session.teacher_folder;
  folder.open_tensors();
  if (!session.spec.left_out.empty()) log_info(session.spec.left_out);
  const bool is_streamed = session.options.train.teacher == TeacherPlacement::kStreamed;
  Decoder teacher = is_streamed
                        ? load_streamed_decoder(folder, session.spec, session.dtype, session.device)
                    : divided_among != nullptr
                        ? load_sharded_decoder(folder, session.spec, session.dtype, session.device,
                                               *divided_among)
                        : load_decoder(folder, session.spec, session.dtype, session.device);
  // A name that is spelled otherwise would leave a tensor unused: that is worth a word.
  const std::vector<std::string> unused = folder.unused();
  if (!unused.empty()) {
    log_warning("the teacher's folder has " + std::to_string(unused.size()) +
                " tensor(s) the model does not use: " +
                join(std::span(unused).first(std::min<size_t>(unused.size(), 5)), ", ") +
                (unused.size() > 5 ? ", ..." : ""));
  }
  return teacher;
}

namespace {

void load_start_file(const Session& session, TrainedModel& model) {
  const std::filesystem::path& file = session.options.quant.init_file;
  LatentSink sink = sink_of(session, model);
  model.layers = load_factors(sink, FactorFile(file), session.plans, session.teacher_folder.get());
  log_info("initial factors of " + std::to_string(model.layers.size()) + " layers from " +
           file.string());
}

// False in all processes where the file is not there, or one finds it damaged. The first process
// verifies the file's hash once, instead of all.
bool start_from_cache(const Session& session, TrainedModel& model,
                      const std::filesystem::path& file) {
  Communicator& processes = *session.processes;
  bool is_there = false;
  in_all(processes, [&] {
    if (processes.is_first()) is_there = path_exists(file) && is_whole(file);
  });
  if (!processes.any(is_there)) return false;
  bool is_loaded = false;
  in_all(processes, [&] { is_loaded = load_cached_factors(session, model, file); });
  return !processes.any(!is_loaded);
}

// The folder that all processes keep their layers in; the first opens and removes it.
std::unique_ptr<LayerCache> open_layers(const Session& session, const std::filesystem::path& folder,
                                        bool is_own) {
  Communicator& processes = *session.processes;
  std::unique_ptr<LayerCache> layers;
  in_all(processes, [&] {
    if (processes.is_first()) layers = std::make_unique<LayerCache>(folder, is_own);
  });
  const bool keeps = processes.any(layers && layers->keeps());
  if (!layers) layers = std::make_unique<LayerCache>(folder, is_own, /*joins=*/keeps);
  return layers;
}

void keep_factors(const Session& session, TrainedModel& model, const std::filesystem::path& file,
                  const LayerCache& layers) {
  try {
    write_factor_cache(file, session.plans, *model.student, layers);
    model.kept_factors = file;
    log_info("initial factors cached in " + file.string());
  } catch (const OutputError& failed) {  // the run itself can go on
    log_warning("the initial factors are not cached: " + std::string(failed.what()));
  }
}

}  // namespace

TrainedModel start_student(const Session& session, const Decoder& teacher,
                           const std::filesystem::path& own_cache,
                           const std::filesystem::path& scratch) {
  Communicator& processes = *session.processes;
  const QuantOptions& quant = session.options.quant;
  TrainedModel model = make_student(session, teacher, scratch, 0);
  processes.enter("initial factors", kLongSeconds);
  if (quant.starts_from_file()) {
    in_all(processes, [&] { load_start_file(session, model); });
    return model;
  }
  const bool is_own = quant.cache_dir.empty();
  std::filesystem::path file;
  in_all(processes,
         [&] { file = factor_cache_file(session, is_own ? own_cache : quant.cache_dir); });
  if (!is_own && start_from_cache(session, model, file)) return model;
  // Each finished layer is kept at once, so that a stopped factorisation loses at most the layers
  // that were being made.
  const std::unique_ptr<LayerCache> layers =
      open_layers(session, std::filesystem::path(file).replace_extension(".layers"), is_own);
  factorize(session, model, *layers);
  in_all(processes, [&] {
    if (!processes.is_first()) return;
    if (!is_own) keep_factors(session, model, file, *layers);
    layers->remove();
  });
  return model;
}

TrainedModel resume_student(const Prepared& prepared, const Checkpoint& checkpoint) {
  TrainedModel model =
      make_student(prepared.session, prepared.teacher, prepared.scratch, checkpoint.position.step);
  load_checkpoint(checkpoint, *model.optimizer);
  model.start = checkpoint.position;
  return model;
}

}  // namespace littlebit
