// What a run works on, in three parts, opened in the order in which a mistake is cheapest to find:
// Session (configuration, config.json, tokenizer, plans: what --check sees), Prepared (training
// data and the teacher's weights, which take long), TrainedModel (student and optimizer).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "littlebit/checkpoint/checkpoint.h"
#include "littlebit/data/corpus.h"
#include "littlebit/distributed/communicator.h"
#include "littlebit/eval/tasks.h"
#include "littlebit/optim/optimizer.h"
#include "littlebit/quant/initialize.h"
#include "littlebit/train/options.h"
#include "littlebit/train/run.h"

namespace littlebit {

// Begun by open_model, completed by open_texts and make_plans. Neither data nor weights are read.
struct Session {
  RunOptions options;
  Communicator* processes = &solo();  // of the run; this is one of them
  int64_t local_world = 1;            // of them, those on this host
  std::unique_ptr<HfFolder> teacher_folder;
  ModelSpec spec;
  at::Device device = at::Device(at::kCPU);
  at::ScalarType dtype = at::kFloat;             // of the products
  std::unique_ptr<Tokenizer> tokenizer;          // null where nothing needs text
  std::vector<NamedTask> named_tasks;            // what eval.tasks and eval.text name
  std::vector<std::unique_ptr<EvalTask>> tasks;  // the same with their data, where texts are open
  int64_t blockwise_steps = 0;                   // the first of all steps: each trains one block
  // Of the whole schedule; 0: train.epochs decides, once there is a corpus (Prepared::steps).
  int64_t steps_by_options = 0;
  std::vector<LayerPlan> plans;
};

// A session with everything that training reads.
struct Prepared {
  Session session;
  Corpus corpus;
  int64_t steps;  // of the whole schedule
  Decoder teacher;
  std::filesystem::path scratch;  // what block-wise steps keep on the disk; "": nothing
};

// What training changes, and how it began.
struct TrainedModel {
  std::unique_ptr<Student> student;        // never null
  std::unique_ptr<Optimizer> optimizer;    // never null; of this student
  std::vector<LayerReport> layers;         // of initial factors; empty after a resume
  std::filesystem::path kept_factors;      // the file in quant.cache_dir that they were written to
  TrainingPosition start;                  // where training goes on
  std::vector<FingerprintChange> changes;  // of settings, since the run began
};

// Threads, the device and the teacher's config.json; nothing else of the folder is read.
Session open_model(const RunOptions& options, const RunRequest& request = {});
// As if on that device, which is not opened.
Session open_model(const RunOptions& options, at::Device device);

// Tokenizer and task texts, where the run needs any.
void open_texts(Session& session);
bool needs_tokenizer(const RunOptions& options);

// The layers' plans: by the budget, or from quant.init_file (contradictions with those quant keys
// that `tree` knows to be set: UsageError).
void make_plans(Session& session, const OptionTree& tree);

// UsageError where the exports asked for cannot hold such a model and such plans.
void check_exports(const Session& session);

Corpus build_corpus(const Session& session, const std::filesystem::path& default_cache);
// Of the whole schedule. UsageError where train.epochs gives none.
int64_t steps_of(const Session& session, const Corpus& corpus);

// The processes that a sharded teacher is divided among: of this host, or all; null where it is not
// sharded. By train.teacher, or what auto comes to: sharded where several processes are on GPUs and
// the teacher's matrices take more than a third of what is free there, streamed (in the session's
// options) where it fits no other way. Collective.
Communicator* place_teacher(Session& session);
// `divided_among`: as place_teacher says.
Decoder load_teacher(const Session& session, Communicator* divided_among);

// Student and optimizer with initial factors, shown layer by layer; or from a checkpoint. Layers
// are kept as they are made, in quant.cache_dir or, where that is not set, in `own_cache` of the
// run: the next start, of any number of processes, goes on from them. Each process makes its part
// of them. `scratch` as in Prepared. Collective, as is resume_student.
TrainedModel start_student(const Session& session, const Decoder& teacher,
                           const std::filesystem::path& own_cache,
                           const std::filesystem::path& scratch);
TrainedModel resume_student(const Prepared& prepared, const Checkpoint& checkpoint);

}  // namespace littlebit
