// The loop of generation and what it needs: the text of ids as they come, stop strings held back
// until they are none, the ids that end a text. The text given out is that of all ids decoded at
// once.
#include "littlebit/eval/generate.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "littlebit/config/option_group.h"
#include "littlebit/config/option_tree.h"
#include "littlebit/core/error.h"
#include "littlebit/core/place.h"
#include "littlebit/core/signals.h"
#include "littlebit/core/stopwatch.h"
#include "littlebit/eval/sampling.h"
#include "littlebit/models/architectures.h"
#include "littlebit/tokenizer/decode_stream.h"

namespace littlebit {
namespace {

// The text of new tokens behind a prompt.
class TextStream {
 public:
  TextStream(const Tokenizer& tokenizer, std::span<const int32_t> prompt)
      : tokenizer_(tokenizer), stream_(tokenizer) {
    // Behind nothing but BOS the text begins as texts do: without a space.
    const std::vector<int32_t> nothing = tokenizer.encode("", /*add_special_tokens=*/true);
    if (std::equal(prompt.begin(), prompt.end(), nothing.begin(), nothing.end())) return;
    // The first new token may continue a character or a word of the prompt, so the prompt goes
    // through the decoder too; what it gives is not shown.
    for (const int32_t id : prompt) step(id);
  }

  std::string step(int32_t id) {
    if (!has_token(id)) return "";
    ids_.push_back(id);
    std::string text = stream_.step(id);
    shown_ += text.size();
    return text;
  }

  // What is left of an unfinished character.
  std::string rest() const {
    const std::string whole = tokenizer_.decode(ids_);
    return whole.size() > shown_ ? whole.substr(shown_) : "";
  }

 private:
  // A model may have more rows than its tokenizer has tokens: an id of such a row has no text.
  bool has_token(int32_t id) const {
    if (id < tokenizer_.vocab_size()) return true;
    try {
      tokenizer_.decode({&id, 1});
      return true;
    } catch (const InputError&) {
      return false;
    }
  }

  const Tokenizer& tokenizer_;
  DecodeStream stream_;
  std::vector<int32_t> ids_;
  size_t shown_ = 0;
};

std::vector<int32_t> ids_of(const Json& value, const std::string& source) {
  if (value.is_null()) return {};
  const Json list = value.is_array() ? value : Json::array({value});
  std::vector<int32_t> ids;
  for (const Json& id : list) {
    if (!id.is_number_integer()) {
      throw InputError(source + ": eos_token_id is " + to_json_line(value) +
                       ", expected a token id or a list of them");
    }
    const bool huge = id.is_number_unsigned() && id.get<uint64_t>() > INT32_MAX;
    if (huge || id.get<int64_t>() > INT32_MAX) {
      throw InputError(source + ": eos_token_id is " + to_json_line(value) +
                           ", expected ids of tokens, which are below 2^31",
                       "take the file that came with the model");
    }
    if (id.get<int64_t>() >= 0) ids.push_back(id.get<int32_t>());  // -1: none
  }
  return ids;
}

}  // namespace

void GenerateOptions::declare(OptionGroup& group) {
  group.text("prompt", &prompt, "The text to continue; empty: a new text");
  group.path("prompt_file", &prompt_file,
             "A file with the text to continue, as Python's open() reads it; `-`: standard input");
  group.integer("max_new_tokens", &max_new_tokens, {.min = 1, .max = 1 << 24},
                "Tokens to generate at most");
  group.number("temperature", &temperature, {.min = 0, .max = 1000},
               "Divides the logits before a token is drawn; 0: always the most probable one");
  group.integer("top_k", &top_k, {.min = 0}, "Draw from the K most probable tokens; 0: from all");
  group.number("top_p", &top_p, {.min = 0, .max = 1, .min_open = true},
               "Draw from the most probable tokens that make up this probability");
  group.integer("seed", &seed, {.min = 0}, "Seed of the random draws");
  group.texts("stop", &stop, "Texts before which generation ends");
  group.choice(
      "kv_cache", &kv_cache, {"full", "latent", "none"},
      "What is cached of earlier tokens: keys and values; the latents of packed k_proj and "
      "v_proj layers; nothing");
}

std::vector<int32_t> eos_token_ids(const HfFolder& folder) {
  constexpr char kKey[] = "eos_token_id";
  const std::filesystem::path file = folder.path() / "generation_config.json";
  if (path_exists(file)) {
    const Json config = read_json_file(file);
    if (config.is_object() && config.contains(kKey)) return ids_of(config[kKey], file.string());
  }
  const Json config = decoder_config(folder.config());
  const std::string source = (folder.path() / "config.json").string();
  return config.contains(kKey) ? ids_of(config[kKey], source) : std::vector<int32_t>();
}

StopFilter::StopFilter(std::vector<std::string> stop, std::function<void(std::string_view)> emit)
    : stop_(std::move(stop)), emit_(std::move(emit)) {}

bool StopFilter::add(std::string_view text) {
  held_ += text;
  // The stop string that begins first wins, whichever it is.
  size_t first = std::string::npos;
  for (const std::string& word : stop_) first = std::min(first, held_.find(word));
  if (first != std::string::npos) {
    emit_(std::string_view(held_).substr(0, first));
    held_.clear();
    return true;
  }
  // The longest end that a stop string may begin with.
  size_t keep = 0;
  for (const std::string& word : stop_) {
    for (size_t size = std::min(word.size() - 1, held_.size()); size > keep; --size) {
      if (held_.ends_with(std::string_view(word).substr(0, size))) keep = size;
    }
  }
  if (held_.size() > keep) emit_(std::string_view(held_).substr(0, held_.size() - keep));
  held_.erase(0, held_.size() - keep);
  return false;
}

void StopFilter::finish() {
  if (!held_.empty()) emit_(held_);
  held_.clear();
}

Generation generate(const Decoder& decoder, const Tokenizer& tokenizer,
                    std::span<const int32_t> prompt, std::span<const int32_t> ends,
                    const GenerateOptions& options,
                    const std::function<void(std::string_view)>& emit) {
  const c10::AutoGradMode no_grad(false);
  LB_ASSERT(!prompt.empty(), "a token to begin with");
  const ModelSpec& spec = decoder.spec();
  if (spec.learned_positions && static_cast<int64_t>(prompt.size()) > spec.max_positions) {
    throw InputError("the prompt has " + std::to_string(prompt.size()) + " tokens, the model has " +
                         std::to_string(spec.max_positions) + " positions",
                     "give a shorter prompt");
  }
  IncrementalDecoder incremental(decoder, options.kv_cache);
  TextStream text(tokenizer, prompt);
  StopFilter filter(options.stop, emit);
  Generation result;
  const Stopwatch prompt_time;
  // The prompt in one pass, then a token at a time.
  at::Tensor z = incremental.extend(prompt);
  result.prompt_seconds = prompt_time.seconds();
  const Stopwatch time;
  bool stopped = false;
  while (true) {
    if (stop_requested()) throw Error(ExitCode::kStopped, "stopped while generating");
    const at::Tensor logits = decoder.head_forward(z[z.size(0) - 1]);
    const int32_t id = sample_token(logits, options, result.ids.size());
    // An end token ends the text and is no part of it.
    if (std::find(ends.begin(), ends.end(), id) != ends.end()) {
      result.end = GenerationEnd::kEndToken;
      break;
    }
    result.ids.push_back(id);
    stopped = filter.add(text.step(id));
    if (stopped) {
      result.end = GenerationEnd::kStopString;
      break;
    }
    if (static_cast<int64_t>(result.ids.size()) == options.max_new_tokens) break;
    if (spec.learned_positions && incremental.length() == spec.max_positions) {
      result.end = GenerationEnd::kPositions;
      break;
    }
    z = incremental.extend({&id, 1});
  }
  // Text that was held back because a stop string might have begun there is given out: none did.
  if (!stopped && !filter.add(text.rest())) filter.finish();
  result.seconds = time.seconds();
  return result;
}

}  // namespace littlebit
