// The loaders of the protocols' texts. Windows, joins and random draws are those of the Python
// programs that made the published numbers (specs section 8), so a loader's ids do not depend on
// this program's own choices.
#include "littlebit/eval/perplexity_texts.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/data/documents.h"
#include "littlebit/data/records.h"
#include "littlebit/logging/console.h"
#include "littlebit/logging/progress.h"
#include "littlebit/tokenizer/python_text.h"
#include "python_random.h"
#include "task_data.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

// Of the protocols: 256 windows of C4; of its newer form the first 1,100 documents.
constexpr int64_t kWindows = 256;
constexpr size_t kNewDocuments = 1100;
constexpr size_t kC4Documents = 45576;  // of the first shard of C4's validation split

std::vector<std::string> read_source(const SourceOptions& source) {
  std::vector<std::string> texts;
  for_each_document(source, [&](std::string_view text) { texts.emplace_back(text); });
  return texts;
}

bool has_records(const fs::path& file) {
  const SourceFormat format = settled_format({.path = file});
  return format == SourceFormat::kJsonl || format == SourceFormat::kParquet;
}

void warn_unless_whole(const fs::path& file, const char* what, size_t count, size_t whole) {
  if (count == whole) return;
  log_warning(file.string() + ": " + format_count(static_cast<int64_t>(count)) + " " + what +
              "; the data set has " + format_count(static_cast<int64_t>(whole)) +
              ", so the figure is not that of the whole text");
}

// The texts of a task's jsonl file, whose field is not the user's to choose.
std::vector<std::string> read_field(const fs::path& file, const std::string& field) {
  std::vector<std::string> texts;
  for_each_record(file, [&](const Json& record, const std::string& place) {
    const auto text = record.find(field);
    if (text == record.end() || !text->is_string()) {
      throw InputError(place + ": the record has no text \"" + field + "\"",
                       "the task reads this field of every record, as its data on the Hugging "
                       "Face Hub has it; a jsonl file of your own: --text FILE");
    }
    texts.push_back(text->get<std::string>());
    return true;
  });
  if (texts.empty()) throw InputError(file.string() + ": no record in it");
  return texts;
}

TaskText whole(const TaskInput& input, const fs::path& file, const std::string& text) {
  return {.file = file, .ids = input.tokenizer.encode(text, /*add_special_tokens=*/true)};
}

fs::path c4_file(const TaskInput& input, const char* task) {
  return find_task_file(
      {task,
       "c4",
       {"c4-validation.*.json.gz", "c4-validation.*.json", "*.jsonl", "*.jsonl.gz", "*.jsonl.zst",
        "*.json.gz", "*.json", "*.parquet"},
       "C4's first validation shard: en/c4-validation.00000-of-00008.json.gz of allenai/c4 on the "
       "Hugging Face Hub"},
      input.options.data_root);
}

// The data set's sentences: lines without the white space around them, or records of a file that
// has such. `split` as Mikolov's files call it.
TaskText ptb(const TaskInput& input, const char* task, const std::string& split,
             const char* separator) {
  const fs::path file = find_task_file(
      {task,
       "ptb",
       {"ptb." + split + ".txt", "ptb." + split + ".jsonl", "ptb." + split + ".jsonl.gz",
        "ptb." + split + ".json", "ptb." + split + ".parquet",
        (split == "valid" ? "validation" : split) + "-00000-of-00001.parquet"},
       "the Penn Treebank's " + split + " split as Mikolov prepared it (ptb_text_only on the " +
           "Hugging Face Hub; its sentences a line each, or jsonl with the field sentence)"},
      input.options.data_root);
  std::vector<std::string> sentences;
  if (has_records(file)) {
    sentences = read_field(file, "sentence");
  } else {
    for (const std::string& line : read_source({.path = file, .format = SourceFormat::kLines})) {
      sentences.emplace_back(python_strip(line));
    }
  }
  warn_unless_whole(file, "sentences", sentences.size(), split == "test" ? 3761 : 3370);
  return whole(input, file, join(sentences, separator));
}

}  // namespace

std::vector<std::string> read_texts(const fs::path& file, const std::string& field) {
  return read_source({.path = file, .field = field});
}

fs::path wikitext2_file(const std::string& task, const TaskInput& input,
                        const std::vector<std::string>& names) {
  return find_task_file({task, "wikitext2", names,
                         "WikiText-2 raw's test split (wikitext-2-raw-v1 of Salesforce/wikitext "
                         "on the Hugging Face Hub)"},
                        input.options.data_root);
}

TaskText wikitext2_text(const TaskInput& input, int64_t) {
  const fs::path file =
      wikitext2_file("wikitext2", input, {"wiki.test.raw", "test-00000-of-00001.parquet"});
  return whole(input, file, read_source({.path = file, .format = SourceFormat::kWikitext}).front());
}

TaskText c4_text(const TaskInput& input, int64_t sequence_length) {
  const fs::path file = c4_file(input, "c4");
  const std::vector<std::string> documents = read_field(file, "text");
  warn_unless_whole(file, "documents", documents.size(), kC4Documents);
  try {
    return {file,
            sample_windows(documents, input.tokenizer, sequence_length,
                           limited(input.options.limit, kWindows))
                .ids,
            kWindows};
  } catch (const InputError& error) {
    throw InputError(file.string() + ": " + error.what(), error.hint());
  }
}

TaskText c4_new_text(const TaskInput& input, int64_t sequence_length) {
  const fs::path file = c4_file(input, "c4_new");
  std::vector<std::string> documents = read_field(file, "text");
  warn_unless_whole(file, "documents", documents.size(), kC4Documents);
  documents.resize(std::min(documents.size(), kNewDocuments));
  TaskText text = whole(input, file, join(documents, " "));
  const auto wanted = static_cast<size_t>(kWindows * sequence_length);
  text.ids.resize(std::min(text.ids.size(), wanted));
  return text;
}

TaskText ptb_text(const TaskInput& input, int64_t) { return ptb(input, "ptb", "valid", "\n\n"); }
TaskText ptb_new_text(const TaskInput& input, int64_t) {
  return ptb(input, "ptb_new", "test", " ");
}

TaskText own_text(const TaskInput& input, int64_t) {
  const fs::path& file = input.options.text;
  return whole(input, file, join(read_texts(file, input.options.text_field), "\n\n"));
}

// Draws as the published programs do: a document at random, again where it is too short, then a
// beginning in it. A document may be drawn more than once.
SampledWindows sample_windows(std::span<const std::string> documents, const Tokenizer& tokenizer,
                              int64_t sequence_length, int64_t count) {
  LB_ASSERT(!documents.empty(), "documents to draw from");
  PythonRandom random(0);
  SampledWindows windows;
  std::map<size_t, std::vector<int32_t>> drawn;  // ids of those long enough, none of the others
  size_t too_short = 0;
  Progress progress("drawing windows", count, "windows");
  while (static_cast<int64_t>(windows.places.size()) < count) {
    const size_t document = random.up_to(static_cast<uint32_t>(documents.size() - 1));
    const auto [entry, is_new] = drawn.try_emplace(document);
    std::vector<int32_t>& ids = entry->second;
    if (is_new) {
      // Only drawn documents are tokenised, each once.
      ids = tokenizer.encode(documents[document], /*add_special_tokens=*/true);
      if (static_cast<int64_t>(ids.size()) <= sequence_length) ids = {};
    }
    if (ids.empty()) {
      too_short += is_new ? 1 : 0;
      if (too_short == documents.size()) {
        throw InputError("none of the " + format_count(static_cast<int64_t>(documents.size())) +
                             " documents has more than " + format_count(sequence_length) +
                             " tokens",
                         "give longer documents or a smaller sequence length");
      }
      continue;
    }
    const int64_t last = static_cast<int64_t>(ids.size()) - sequence_length - 1;
    const int64_t start = random.up_to(static_cast<uint32_t>(last));
    windows.places.emplace_back(document, start);
    windows.ids.insert(windows.ids.end(), ids.begin() + start,
                       ids.begin() + start + sequence_length);
    progress.update(static_cast<int64_t>(windows.places.size()));
  }
  return windows;
}

}  // namespace littlebit
