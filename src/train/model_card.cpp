// See model_card.h. Of paths only the last name is told: the card is for other people.
#include "model_card.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "littlebit/core/error.h"
#include "littlebit/core/hash.h"
#include "littlebit/core/place.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"
#include "littlebit/core/write_file.h"
#include "littlebit/export/load_packed.h"
#include "littlebit/logging/console.h"
#include "littlebit/logging/table.h"
#include "score.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

constexpr char kFile[] = "README.md", kTitleEnd[] = " by LittleBit";
constexpr char kMarkBegin[] = "<!-- made by littlebit-native; ", kMarkEnd[] = " -->\n";
constexpr const char* kLicenceFiles[] = {"LICENSE",       "LICENSE.txt", "LICENSE.md",
                                         "LICENCE",       "NOTICE",      "NOTICE.txt",
                                         "USE_POLICY.md", "COPYING",     "Notice.txt"};
constexpr uint64_t kMaxCardBytes = 1 << 20;

// The origin's own card, or "".
std::string card_of(const HfFolder& origin) {
  const fs::path card = origin.path() / kFile;
  std::error_code error;
  const bool is_readable =
      fs::is_regular_file(card, error) && fs::file_size(card, error) <= kMaxCardBytes;
  return is_readable ? read_file(card) : "";
}

bool is_plain(const std::string& text) {
  constexpr char kPlain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  return !text.empty() && text.find_first_not_of(kPlain) == std::string::npos;
}

// "owner/name" as the Hub has it.
bool is_hub_id(const std::string& text) {
  const std::vector<std::string> parts = split(text, '/');
  return parts.size() == 2 && is_plain(parts[0]) && is_plain(parts[1]) &&
         parts[0].find_first_not_of('.') != std::string::npos;
}

// Whose weights were compressed, by the folder's place in the Hub's cache (models--OWNER--NAME) or
// by config.json; empty where neither tells.
std::string hub_id(const HfFolder& origin) {
  for (const fs::path& part : fs::absolute(origin.path()).lexically_normal()) {
    const std::vector<std::string> words = split(part.string(), '-');
    if (words.size() < 5 || words[0] != "models" || !words[1].empty()) continue;
    std::string id = part.string().substr(std::string("models--").size());
    const size_t border = id.find("--");
    if (border != std::string::npos) id.replace(border, 2, "/");
    if (is_hub_id(id)) return id;
  }
  const auto name = origin.config().find("_name_or_path");
  if (name == origin.config().end() || !name->is_string()) return "";
  return is_hub_id(name->get<std::string>()) ? name->get<std::string>() : "";
}

// What the card of a packed folder calls the model; empty where there is none of ours.
std::string name_by_card(const HfFolder& origin) {
  constexpr std::string_view kBegin = "# ", kEnd = kTitleEnd;
  for (const std::string& line : split(card_of(origin), '\n')) {
    if (!line.starts_with(kBegin) || !line.ends_with(kEnd)) continue;
    return line.substr(kBegin.size(), line.size() - kBegin.size() - kEnd.size());
  }
  return "";
}

std::string name_of(const HfFolder& origin) {
  const std::string id = hub_id(origin);
  if (!id.empty()) return id;
  if (is_packed_folder(origin)) {
    if (const std::string name = name_by_card(origin); !name.empty()) return name;
  }
  fs::path path = fs::absolute(origin.path()).lexically_normal();
  if (path.filename().empty()) path = path.parent_path();
  return path.filename().string();
}

// The lines about the licence that head the origin's own card.
std::vector<std::string> licence_lines(const HfFolder& origin) {
  std::vector<std::string> found;
  const std::vector<std::string> lines = split(card_of(origin), '\n');
  if (lines.empty() || trim(lines[0]) != "---") return {};
  for (size_t i = 1; i < lines.size() && trim(lines[i]) != "---"; ++i) {
    for (const char* key : {"license", "license_name", "license_link"}) {
      const std::string head = std::string(key) + ":";
      if (!lines[i].starts_with(head)) continue;
      const std::string value(trim(std::string_view(lines[i]).substr(head.size())));
      const bool is_link = value.starts_with("https://") &&
                           value.find_first_of(" \t\"'#{}[]|&*!>%@`") == std::string::npos;
      if (is_plain(value) || is_link) found.push_back(head + " " + value);
    }
  }
  return found;
}

std::vector<std::string> licence_files(const fs::path& folder) {
  std::vector<std::string> found;
  std::error_code error;
  for (const char* name : kLicenceFiles) {
    if (fs::is_regular_file(folder / name, error)) found.emplace_back(name);
  }
  return found;
}

std::optional<double> number_at(const Json& object, const char* key) {
  if (!object.is_object()) return std::nullopt;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) return std::nullopt;
  return found->get<double>();
}

std::string head_of(const ModelCard& card, bool dense) {
  std::string head = std::string("---\nlibrary_name: ") + (dense ? "transformers" : "littlebit") +
                     "\npipeline_tag: text-generation\n";
  if (const std::string id = hub_id(card.origin); !id.empty()) {
    head += "base_model: " + id + "\nbase_model_relation: quantized\n";
  }
  for (const std::string& line : licence_lines(card.origin)) head += line + "\n";
  return head + "tags:\n- littlebit\n- quantized\n- knowledge-distillation\n---\n";
}

std::string size_section(const ModelCard& card, bool dense) {
  Table table({"", ""}, {0, 1});
  if (const auto bits = number_at(card.bytes, "formula_bits_per_weight")) {
    table.add(
        {"bits per weight of the linear layers, by the paper's formula", format_digits(*bits, 4)});
  }
  if (const auto bits = number_at(card.bytes, "stored_bits_per_weight")) {
    table.add({"bits per weight of the linear layers, as stored packed", format_digits(*bits, 4)});
  }
  if (card.settings.empty()) {
    const auto bits = number_at(card.origin.config(), "eff_bit");
    if (bits)
      table.add({"bits per weight of the linear layers, requested", format_digits(*bits, 4)});
  }
  const auto bytes_of = [&](const char* model) -> std::optional<double> {
    if (!card.bytes.is_object() || !card.bytes.contains(model)) return std::nullopt;
    return number_at(card.bytes.at(model), "total");
  };
  if (const auto bytes = bytes_of("teacher")) {
    table.add({"the original", format_bytes(static_cast<uint64_t>(*bytes))});
  }
  if (const auto bytes = bytes_of("packed")) {
    table.add(
        {"packed, embeddings and head included", format_bytes(static_cast<uint64_t>(*bytes))});
  }
  return "## Size\n\n" +
         std::string(dense
                         ? "The matrices here are the effective ones, written out: this folder is "
                           "as large as the original. The sizes are of the packed form.\n\n"
                         : "") +
         table.markdown() + "\n";
}

// Every metric of the student's scores at the step, beside the teacher's.
std::string score_section(const ModelCard& card) {
  std::vector<Score> scores;
  if (card.run.contains("scores") && card.run.at("scores").is_array()) {
    for (const Json& entry : card.run.at("scores")) scores.push_back(read_score(entry));
  }
  Table table({"task", "protocol", "metric", "original", "this model"}, {0, 1, 2});
  bool any = false;
  for (const Score& score : scores) {
    if (score.model != kStudentModel || score.step != card.step) continue;
    const Score* teacher = nullptr;
    for (const Score& other : scores) {
      const bool same = other.task == score.task && other.entry.value("protocol", Json()) ==
                                                        score.entry.value("protocol", Json());
      if (other.model == kTeacherModel && same) teacher = &other;
    }
    const Json protocol = score.entry.value("protocol", Json());
    for (const auto& [name, value] : score.entry.items()) {
      if (!is_metric(name) || !value.is_number()) continue;
      const auto before =
          teacher == nullptr ? std::nullopt : number_at(teacher->entry, name.c_str());
      table.add({score.task, protocol.is_string() ? protocol.get<std::string>() : "", name,
                 before ? format_digits(*before, 5) : "-", format_digits(value.get<double>(), 5)});
      any = true;
    }
  }
  if (!any) return "";
  return "## Scores\n\n" + table.markdown() +
         "\nProtocols are those of littlebit-native's docs/evaluation.md.\n\n";
}

// Settings by what people call them; of those that a default leaves without effect nothing is told.
struct Row {
  const char *key, *name, *silent;
};
constexpr Row kRecipe[] = {
    {"quant.bits_per_weight", "bits per weight requested", ""},
    {"quant.kv_factor", "rank of k and v times", "1"},
    {"quant.surrogate", "derivative of the signs", ""},
    {"blockwise.sequences", "sequences that blocks were trained on one by one first", "0"},
    {"train.steps", "steps of the schedule", ""},
    {"train.global_batch_size", "sequences per step", ""},
    {"data.sequence_length", "tokens per sequence", ""},
    {"optim.learning_rate", "learning rate", ""},
    {"optim.schedule", "schedule", ""},
    {"optim.warmup_ratio", "warm-up, of all steps", "0"},
    {"optim.weight_decay", "weight decay", "0"},
    {"distill.kl_weight", "weight of the KL divergence", ""},
    {"distill.hidden_weight", "weight of the hidden states' error", "0"},
    {"distill.hidden", "hidden states' error", "mean_square"},
    {"distill.hidden_schedule", "course of its weight", "constant"},
    {"train.seed", "seed", ""},
};

std::string recipe_section(const ModelCard& card) {
  if (card.settings.empty()) return "";
  Table table({"", ""}, {0, 1});
  for (const Row& row : kRecipe) {
    const auto found = card.settings.find(row.key);
    if (found == card.settings.end() || found->second == row.silent) continue;
    table.add({row.name, found->second});
  }
  if (card.options != nullptr) {
    table.add({"start", card.options->quant.init});
    std::vector<std::string> texts;
    for (const SourceOptions& source : card.options->data.train) {
      texts.push_back(source.path.filename().string());
    }
    if (!texts.empty()) table.add({"training text", join(texts, ", ")});
  }
  table.add({"weights of step", std::to_string(card.step)});
  table.add({"program", "littlebit-native " LITTLEBIT_VERSION});
  return "## Recipe\n\nLittleBit (arXiv [2506.13771](https://arxiv.org/abs/2506.13771)): each "
         "linear "
         "layer is a product of thin sign matrices with scales, trained to agree with the "
         "original.\n\n" +
         table.markdown() + "\n";
}

std::string loading_section(const std::string& format) {
  if (format == "dense") {
    return "## Loading\n\n"
           "    from transformers import AutoModelForCausalLM, AutoTokenizer\n"
           "    model = AutoModelForCausalLM.from_pretrained(\"FOLDER\")\n"
           "    tokenizer = AutoTokenizer.from_pretrained(\"FOLDER\")\n\n";
  }
  if (format == "dbf") {
    return "## Loading\n\nThe tensors are in the layout of double binary factors that "
           "OneCompression's plugin for vLLM reads.\n\n";
  }
  return "## Loading\n\nThe tensors are in the packed format of the authors' LittleBit code, which "
         "littlebit-native runs from its bits:\n\n"
         "    littlebit-eval generate --model FOLDER --prompt \"The city of\" --max-new-tokens 40\n"
         "    littlebit-eval --model FOLDER --tasks wikitext2 --data-root DATA\n"
         "    littlebit-train export FOLDER --output DENSE    # for Hugging Face transformers\n\n";
}

std::string licence_section(const HfFolder& origin) {
  const std::vector<std::string> files = licence_files(origin.path());
  const std::string name = name_of(origin);
  std::string text =
      "## Licence\n\nThese weights are derived from " + name + ", whose licence applies to them";
  if (!files.empty()) return text + ": " + join(files, ", ") + ", copied from it.\n";
  return text + ". No licence file lies beside the original: look up its terms before you pass " +
         "the model on.\n";
}

std::string marked(const std::string& text) {
  const size_t end_of_head = text.find("\n---\n") + 5;
  return text.substr(0, end_of_head) + kMarkBegin + content_hash(std::string_view(text)) +
         kMarkEnd + text.substr(end_of_head);
}

// Whether a card is just as write_model_card() left it.
bool is_own_card(const std::string& card) {
  const size_t begin = card.find(kMarkBegin);
  if (begin == std::string::npos) return false;
  const size_t end = card.find(kMarkEnd, begin);
  if (end == std::string::npos) return false;
  const std::string text = card.substr(0, begin) + card.substr(end + std::size(kMarkEnd) - 1);
  return text.starts_with("---\n") && marked(text) == card;
}

}  // namespace

std::string model_card_text(const ModelCard& card, const std::string& format) {
  const bool dense = format == "dense";
  return head_of(card, dense) + "# " + name_of(card.origin) + kTitleEnd +
         (format != "packed" ? ", " + format : "") + "\n\nA compressed copy of " +
         name_of(card.origin) + ": its linear layers were factorised into signs and scales" +
         (card.step > 0 ? " and trained to agree with it.\n\n" : ".\n\n") +
         size_section(card, dense) + score_section(card) + recipe_section(card) +
         loading_section(format) + licence_section(card.origin);
}

void write_model_card(const fs::path& folder, const ModelCard& card, const std::string& format) {
  const fs::path file = folder / kFile;
  if (path_exists(file)) {
    std::error_code error;
    const bool is_own = fs::is_regular_file(file, error) &&
                        fs::file_size(file, error) <= kMaxCardBytes && is_own_card(read_file(file));
    if (!is_own) {
      log_info(file.string() + " was changed after this program wrote it: it is kept");
      return;
    }
  }
  for (const std::string& name : licence_files(card.origin.path())) {
    if (!path_exists(folder / name))
      write_file(folder / name, read_file(card.origin.path() / name));
  }
  write_file(file, marked(model_card_text(card, format)));
}

}  // namespace littlebit
