// The command `generate`: the text goes to standard output as it comes, everything else to standard
// error.
#include "littlebit/commands/generate.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "littlebit/commands/read_options.h"
#include "littlebit/core/error.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"
#include "littlebit/data/text.h"
#include "littlebit/device/device.h"
#include "littlebit/eval/generate.h"
#include "littlebit/eval/model.h"
#include "littlebit/logging/console.h"
#include "littlebit/logging/run_main.h"
#include "littlebit/tokenizer/folder.h"
#include "model_to_run.h"

namespace littlebit {
namespace {

struct Options {
  ModelOptions model;
  GenerateOptions generate;
  ComputeOptions compute;

  void declare(OptionTree& tree) {
    tree.add("model", "The model to run", model);
    tree.add("generate", "What is generated, and how", generate);
    tree.add("eval", "How it is computed", compute);
  }
};

void check(const Options& options) {
  require_model(options.model);
  const GenerateOptions& generate = options.generate;
  if (!generate.prompt.empty() && !generate.prompt_file.empty()) {
    throw UsageError("a prompt and a prompt file were given", "give one of them");
  }
  for (const std::string& stop : generate.stop) {
    if (stop.empty()) throw UsageError("generate.stop: an empty text would match everywhere");
  }
  const bool drawn = generate.top_k != 0 || generate.top_p != 1;
  if (drawn && generate.temperature == 0) {
    throw UsageError(
        "generate.top_k and generate.top_p act on random draws, but the temperature is 0",
        "give a temperature above 0; 1 leaves the model's probabilities unchanged");
  }
}

std::string prompt_text(const GenerateOptions& options) {
  if (options.prompt_file.empty()) return options.prompt;
  const std::filesystem::path file =
      options.prompt_file == "-" ? "/dev/stdin" : options.prompt_file;
  return python_text(read_file(file), file);
}

std::vector<int32_t> prompt_ids(const Tokenizer& tokenizer, const std::string& text) {
  std::vector<int32_t> ids = tokenizer.encode(text, /*add_special_tokens=*/true);
  if (!ids.empty()) return ids;
  throw UsageError("the prompt is empty, and this tokenizer puts nothing in front of a text",
                   "give a text to continue: --prompt TEXT");
}

const char* name_of(CacheKind kind) {
  return kind == CacheKind::kFull ? "full" : kind == CacheKind::kLatent ? "latent" : "none";
}

std::string cache_report(const EvalModel& model, CacheKind used) {
  const auto bytes = [&](CacheKind kind) {
    return format_count(IncrementalDecoder::bytes_per_token(model.decoder(), kind));
  };
  std::string text =
      std::string("cache: ") + name_of(used) + "; bytes per token: full " + bytes(CacheKind::kFull);
  if (model.packed()) text += ", latent " + bytes(CacheKind::kLatent);
  return text;
}

std::string reason(GenerationEnd end) {
  switch (end) {
    case GenerationEnd::kLength:
      return "the requested number was reached";
    case GenerationEnd::kEndToken:
      return "the model ended the text";
    case GenerationEnd::kStopString:
      return "a stop text was reached";
    case GenerationEnd::kPositions:
      return "the model has no more positions";
  }
  return "";
}

std::string speed(int64_t tokens, double seconds) {
  const double rate = static_cast<double>(tokens) / std::max(seconds, 1e-9);
  return std::to_string(tokens) + " tokens in " + format_fixed(seconds, 2) + " s (" +
         format_fixed(rate, 1) + " tokens/s)";
}

}  // namespace

std::string generate_keys_help() { return keys_help<Options>(); }

int run_generate(const std::filesystem::path& config, const std::vector<std::string>& overrides) {
  const auto options = read_options<Options>(config, overrides);
  check(options);
  use_threads(options.compute.threads);
  const at::Device device = open_device(options.compute.device, "eval.device");

  HfFolder folder(options.model.path);  // its errors come first: there may be no folder
  const std::vector<int32_t> ends = eos_token_ids(folder);
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(options.model.path);
  const std::vector<int32_t> prompt = prompt_ids(*tokenizer, prompt_text(options.generate));
  const EvalModel model(std::move(folder), float_type(options.compute.dtype, device), device);
  const ModelSpec& spec = model.decoder().spec();
  const int64_t longest = static_cast<int64_t>(prompt.size()) + options.generate.max_new_tokens;
  if (!spec.learned_positions && longest > spec.max_positions) {
    log_warning("the text may grow to " + format_count(longest) +
                " tokens, the model was made for " + format_count(spec.max_positions));
  }

  const Generation result =
      generate(model.decoder(), *tokenizer, prompt, ends, options.generate, print_output);
  print_output("\n");
  const auto count = static_cast<int64_t>(result.ids.size());
  log_info("prompt: " + speed(static_cast<int64_t>(prompt.size()), result.prompt_seconds));
  log_info("generated: " + speed(count, result.seconds) + ", " + reason(result.end));
  log_info(cache_report(model, options.generate.kv_cache));
  return static_cast<int>(ExitCode::kDone);
}

}  // namespace littlebit
