// What a run works on: teacher, data, plans, student, optimizer, opened in the order in which a
// mistake is cheapest to find (configuration, config.json, tokenizer, data, weights).
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

struct Session {
  RunOptions options;
  Communicator* processes = &solo();  // of the run; this is one of them
  int64_t local_world = 1;            // of them, those on this host
  // That divide a sharded teacher: of this host, or all; null where it is not.
  Communicator* teacher_processes = nullptr;
  std::unique_ptr<HfFolder> teacher_folder;
  ModelSpec spec;
  at::Device device = at::Device(at::kCPU);
  at::ScalarType dtype = at::kFloat;             // of the products
  std::unique_ptr<Tokenizer> tokenizer;          // null where nothing needs text
  std::vector<NamedTask> named_tasks;            // what eval.tasks and eval.text name
  std::vector<std::unique_ptr<EvalTask>> tasks;  // the same with their data, where texts are open
  std::optional<Corpus> corpus;
  int64_t steps = 0;  // of the whole schedule; 0: derived from train.epochs once the corpus is open
  int64_t blockwise_steps = 0;    // of them, the first: each trains one block
  std::filesystem::path scratch;  // of these steps, what is on the disk meanwhile; "": nothing is
  std::vector<LayerPlan> plans;
  std::unique_ptr<Decoder> teacher;
  std::unique_ptr<Student> student;
  std::unique_ptr<Optimizer> optimizer;
  std::vector<LayerReport> layers;  // after the initial factors were computed; empty after a resume
  std::vector<FingerprintChange> changes;  // of settings, since the run began
  std::filesystem::path kept_factors;      // the file that they were written to in quant.cache_dir
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

void build_corpus(Session& session, const std::filesystem::path& default_cache);
// Sets teacher_processes by train.teacher, or what auto comes to: sharded where several processes
// are on GPUs and the teacher's matrices take more than a third of what is free there, streamed (in
// the session's options) where it fits no other way. Collective.
void place_teacher(Session& session);
void load_teacher(Session& session);  // as it was placed

// Student and optimizer with initial factors, shown layer by layer; or from a checkpoint. Layers
// are kept as they are made, in quant.cache_dir or, where that is not set, in `own_cache` of the
// run: the next start, of any number of processes, goes on from them. Each process makes its part
// of them. Collective, as is resume_student.
void start_student(Session& session, const std::filesystem::path& own_cache);
void resume_student(Session& session, const Checkpoint& checkpoint);

}  // namespace littlebit
