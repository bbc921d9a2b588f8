// From the records of a data file to contexts, continuations and the right choice.
#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "littlebit/core/error.h"
#include "littlebit/core/home.h"
#include "littlebit/core/place.h"
#include "littlebit/core/strings.h"
#include "littlebit/data/corpus.h"
#include "littlebit/data/records.h"
#include "littlebit/eval/choice_task.h"
#include "littlebit/tokenizer/python_text.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

bool is_parquet(const fs::path& path) { return path.extension() == ".parquet"; }

// A parquet file that may hold the task's data: any in a folder of the task's name, else one named
// as the file that is missing. An empty path where there is none.
fs::path find_parquet(const ChoiceTask& task, const std::vector<fs::path>& folders) {
  for (const fs::path& folder : folders) {
    std::vector<fs::path> found;
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
      const fs::path& path = it->path();
      if (!is_parquet(path)) continue;
      if (folder.filename() == task.name || path.stem() == fs::path(task.file).stem()) {
        found.push_back(path);
      }
    }
    if (!found.empty()) return *std::min_element(found.begin(), found.end());
  }
  return {};
}

// Of several templates the texts of all, of one that names a list the list's.
std::vector<std::string> fill_all(const std::vector<TextTemplate>& templates,
                                  const TemplateFields& fields) {
  if (templates.size() == 1) return templates[0].fill_each(fields);
  std::vector<std::string> texts;
  for (const TextTemplate& each : templates) texts.push_back(each.fill(fields));
  return texts;
}

int64_t gold_of(const ChoiceTask& task, const TemplateFields& fields, int64_t choices) {
  const std::string gold = task.gold.fill(fields);
  if (!task.labels.empty()) {
    const std::vector<std::string> labels = fill_all(task.labels, fields);
    if (static_cast<int64_t>(labels.size()) != choices) {
      throw InputError("there are " + std::to_string(choices) + " choices and " +
                       std::to_string(labels.size()) + " labels (" + join(labels, ", ") +
                       "); expected a label for each choice");
    }
    if (std::set(labels.begin(), labels.end()).size() != labels.size()) {
      throw InputError("of the labels " + join(labels, ", ") +
                       " two are the same; expected one of its own for each choice");
    }
    const auto found = std::find(labels.begin(), labels.end(), gold);
    if (found != labels.end()) return found - labels.begin();
    throw InputError("the answer '" + gold + "' is none of the labels " + join(labels, ", "));
  }
  int64_t place = -1;
  const auto parsed = std::from_chars(gold.data(), gold.data() + gold.size(), place);
  if (parsed.ec != std::errc() || parsed.ptr != gold.data() + gold.size() || place < 0 ||
      place >= choices) {
    throw InputError("the answer '" + gold + "' is not the place of a choice, 0 to " +
                     std::to_string(choices - 1));
  }
  return place;
}

ChoiceDocument document_of(const ChoiceTask& task, const Json& record) {
  TemplateFields fields(record);
  for (const auto& [name, text] : task.fields) fields.set(name, text.fill(fields));
  const std::vector<std::string> texts = fill_all(task.choices, fields);
  if (texts.size() < 2) {
    throw InputError("there are " + std::to_string(texts.size()) +
                     " choices; expected at least two");
  }
  ChoiceDocument document;
  document.gold = gold_of(task, fields, static_cast<int64_t>(texts.size()));
  for (const std::string& text : texts) {
    fields.set("choice", text);
    document.choices.push_back({.context = task.context.fill(fields),
                                .continuation = task.delimiter + task.continuation.fill(fields),
                                .length = python_length(text)});
  }
  return document;
}

}  // namespace

fs::path find_choice_data(const ChoiceTask& task, const fs::path& data_root) {
  const fs::path wanted = expand_home(task.file);
  std::vector<fs::path> folders = {data_root / task.name, data_root};
  if (!task.origin.empty()) folders.push_back(task.origin.parent_path());
  if (wanted.is_absolute()) folders = {wanted.parent_path()};
  std::vector<std::string> places;
  for (const fs::path& folder : folders) {
    fs::path place = folder / (wanted.is_absolute() ? wanted.filename() : wanted);
    places.push_back(place.string());
    for (const char* packed : {".gz", ".zst"}) {
      if (!path_exists(place) && path_exists(place.string() + packed)) place += packed;
    }
    if (!path_exists(place)) continue;
    if (!is_parquet(place)) return place;
    refuse_parquet(place);
  }
  if (const fs::path parquet = find_parquet(task, folders); !parquet.empty()) {
    refuse_parquet(parquet, parquet.parent_path() / wanted.filename());
  }
  const std::string root = "set eval.data_root (--data-root) to the folder that holds it";
  throw InputError(
      "task " + task.name + ": its data is not there: looked for " + join(places, " and "),
      task.hub.empty() ? root
                       : root + "; the data is on the Hugging Face Hub: " + task.hub +
                             ", a JSON object with its fields per line");
}

std::vector<ChoiceDocument> read_choice_documents(const ChoiceTask& task, const fs::path& file,
                                                  int64_t limit) {
  std::vector<ChoiceDocument> documents;
  for_each_record(file, [&](const Json& record, int64_t line) {
    try {
      documents.push_back(document_of(task, record));
    } catch (const InputError& error) {
      throw InputError(
          file.string() + ":" + std::to_string(line) + ": " + error.what(),
          "the task's fields are those of " +
              (task.origin.empty() ? "its data on the Hub: " + task.hub : task.origin.string()));
    }
    documents.back().line = line;
    return limit == 0 || static_cast<int64_t>(documents.size()) < limit;
  });
  if (documents.empty()) throw InputError(file.string() + ": no document in it");
  return documents;
}

}  // namespace littlebit
