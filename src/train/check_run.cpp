// --check. A folder with tensor files is checked as a run would open it,
// tensor by tensor. One without (a config.json is enough) gives the plan; weights, and tokenizer
// and texts where they are missing, are then named as not checked instead of refused.
#include "littlebit/train/check_run.h"

#include <algorithm>

#include "blockwise.h"
#include "check_output.h"
#include "littlebit/core/error.h"
#include "littlebit/core/place.h"
#include "littlebit/core/strings.h"
#include "littlebit/data/documents.h"
#include "littlebit/data/source_files.h"
#include "littlebit/logging/console.h"
#include "littlebit/models/architectures.h"
#include "littlebit/models/load.h"
#include "littlebit/tokenizer/folder.h"
#include "plan.h"
#include "resume.h"
#include "session.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

bool has_tokenizer_files(const fs::path& folder) {
  for (const char* name :
       {"tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "merges.txt"}) {
    if (path_exists(folder / name)) return true;
  }
  return false;
}

// That every tensor the teacher needs is there in its shape; numbers are not read.
void check_tensors(const Session& session) {
  const HfFolder& folder = *session.teacher_folder;
  std::vector<std::string> wrong;
  const auto want = [&](const std::string& name, const std::vector<int64_t>& shape) {
    refuse_quantised(folder, name);
    const TensorView* view = find_tensor(folder, name);
    if (view == nullptr) {
      wrong.push_back("'" + name + "' is missing");
    } else if (view->shape != shape) {
      wrong.push_back("'" + name + "' is " + shape_text(view->shape) + ", expected " +
                      shape_text(shape));
    }
  };
  const ModelSpec& spec = session.spec;
  Decoder shape = empty_decoder(spec, session.dtype, at::Device(at::kCPU));
  const FrozenNames& names = shape.parts().frozen_names;
  const std::string& head = shape.head().weight.tensor;
  const bool under_head = spec.tied_embeddings && find_tensor(folder, names.embedding) == nullptr &&
                          find_tensor(folder, head) != nullptr;
  if (!under_head) want(names.embedding, {spec.vocab_size, spec.embedding_size});
  if (under_head || !spec.tied_embeddings) want(head, {spec.vocab_size, spec.embedding_size});
  if (spec.learned_positions) {
    want(names.positions, {spec.max_positions + spec.position_offset, spec.hidden_size});
  }
  shape.visit_linears([&](LinearSlot& slot) {
    const auto rows = [&](const TensorSource& source) {
      return source.row_end < 0 ? slot.d_out : source.rows;
    };
    want(slot.weight.tensor, {rows(slot.weight), slot.d_in});
    if (slot.has_bias) want(slot.bias.tensor, {rows(slot.bias)});
  });
  shape.visit_parameters(
      [&](Parameter& parameter) { want(parameter.source.tensor, {parameter.size}); });
  if (wrong.empty()) return;
  constexpr size_t kShown = 5;
  const size_t shown = std::min(wrong.size(), kShown);
  throw InputError(
      folder.path().string() + ": " + std::to_string(wrong.size()) +
          " tensor(s) do not match config.json: " + join(std::span(wrong).first(shown), "; ") +
          (wrong.size() > shown ? "; ..." : ""),
      "config.json and the tensor files belong to different models, or a file is "
      "missing");
}

void look_at_files(const SourceOptions& source, const DataOptions& data) {
  SourceOptions one = source;
  for (const fs::path& file : source_files(source)) {
    if (!path_exists(file)) {
      throw InputError("training data " + file.string() + " does not exist",
                       "check data.train; relative paths start from the current folder");
    }
    one.path = file;
    look_at_source(one, data.sequence_length, data.on_bad_record);
  }
}

// What a folder without tensor files still lets us check; returns what it does not.
std::vector<std::string> check_without_weights(Session& session) {
  const RunOptions& options = session.options;
  std::vector<std::string> left = {"the weights (no safetensors file in " +
                                   options.model.path.string() + ")"};
  if (needs_tokenizer(options)) {
    if (has_tokenizer_files(options.model.path)) {
      session.tokenizer = load_tokenizer(options.model.path);
      check_vocabulary(*session.tokenizer, session.spec.vocab_size);
    } else {
      left.push_back("the tokenizer (no file of one)");
    }
  }
  for (const SourceOptions& source : options.data.train) {
    if (source_exists(source)) {
      look_at_files(source, options.data);
    } else {
      left.push_back("training data (no " + source.path.string() + ")");
    }
  }
  if (any_tasks(options.eval)) {
    sequence_length(options.eval, session.spec);
    left.push_back("evaluation texts");
  }
  return left;
}

void check_with_weights(Session& session) {
  open_texts(session);
  session.teacher_folder->open_tensors();
  check_tensors(session);
  for (const SourceOptions& source : session.options.data.train) {
    look_at_files(source, session.options.data);
  }
}

void print_schedule(const RunOptions& options, int64_t num_layers) {
  const TrainOptions& train = options.train;
  if (const BlockwiseSchedule blockwise(options.blockwise, num_layers); blockwise.steps() > 0) {
    log_info("block-wise training: " + format_count(blockwise.steps()) + " steps, " +
             format_count(blockwise.tokens_after(blockwise.steps(), options.data.sequence_length)) +
             " tokens");
  }
  const std::string step = std::to_string(train.sequences_per_step()) + " x " +
                           std::to_string(options.data.sequence_length) + " tokens";
  if (train.epochs > 0) {
    log_info("training: " + format_digits(train.epochs, 4) + " epochs in steps of " + step);
    return;
  }
  log_info("training: " + format_count(train.steps) + " steps of " + step + ", " +
           format_count(train.steps * train.sequences_per_step() * options.data.sequence_length) +
           " in all");
}

// What is there of the way to `path` must be folders.
void check_way(const char* option, const fs::path& path) {
  std::error_code unknown;
  fs::path there = path.empty() ? fs::path() : fs::absolute(path, unknown);
  while (there.has_relative_path() && !path_exists(there)) there = there.parent_path();
  if (there.empty() || fs::is_directory(there, unknown)) return;
  throw OutputError(std::string(option) + " " + path.string() +
                        " cannot be made: " + there.string() + " is not a folder",
                    "give another folder");
}

}  // namespace

void check_run(const RunOptions& options, const OptionTree& tree, const RunRequest& request) {
  const RunFolder folder(options.output.dir);
  check_output(folder, options, request);
  check_way("output.dir", options.output.dir);
  check_way("data.cache_dir", options.data.cache_dir);
  check_way("quant.cache_dir", options.quant.cache_dir);
  const std::optional<Checkpoint> checkpoint = find_checkpoint(folder, request);
  Session session = open_model(options);
  std::vector<std::string> left;
  if (session.teacher_folder->has_tensor_files()) {
    check_with_weights(session);
  } else {
    left = check_without_weights(session);
  }
  if (checkpoint) {
    plans_from_checkpoint(session, tree, *checkpoint, request);
    left.push_back("whether the training text is that of " + checkpoint->folder.string());
  } else {
    make_plans(session, tree);
  }
  print_model(session);
  print_plan(session);
  print_sizes(session);
  choose_by_memory(session);
  print_memory(session);
  print_schedule(options, session.spec.num_layers);
  warn_of_few_updates(session, session.steps_by_options);
  if (checkpoint) {
    log_info("the run would continue from step " + std::to_string(checkpoint->position.step) +
             " of " + checkpoint->folder.string());
  }
  if (!left.empty()) log_warning("not checked: " + join(left, "; "));
  log_info("nothing was written (--check)");
}

}  // namespace littlebit
