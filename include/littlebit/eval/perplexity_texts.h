// The texts of the perplexity protocols as token ids (specs section 8), tokenised with the special
// tokens that the tokenizer itself puts around a text. Where the data lies: docs/evaluation.md.
//
// Errors of the loaders: InputError with the paths that were tried and where to get a missing file,
// with what is wrong in one that exists, or with the command that converts a Parquet file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "littlebit/eval/tasks.h"

namespace littlebit {

struct TaskText {
  std::filesystem::path file;
  std::vector<int32_t> ids;
  int64_t chunks = 0;  // of the whole, of which eval.limit has left ids; 0: ids are the whole
};

// The file of WikiText-2 raw test, of the first of these names that is there.
std::filesystem::path wikitext2_file(const std::string& task, const TaskInput& input,
                                     const std::vector<std::string>& names);

// WikiText-2 raw test, rows joined by "\n\n", tokenised as a whole.
TaskText wikitext2_text(const TaskInput& input, int64_t sequence_length);

// 256 windows of C4's validation documents, drawn as sample_windows() says; of eval.limit windows
// only those.
TaskText c4_text(const TaskInput& input, int64_t sequence_length);
// The first 1100 documents of the same file joined by " ", the first 256 * sequence_length tokens.
TaskText c4_new_text(const TaskInput& input, int64_t sequence_length);

// Penn Treebank: sentences of the validation split joined by "\n\n"; of the test split, by " ".
TaskText ptb_text(const TaskInput& input, int64_t sequence_length);
TaskText ptb_new_text(const TaskInput& input, int64_t sequence_length);

// eval.text: a text file as it is; of a jsonl file (.jsonl, .json, also .gz) the field
// eval.text_field of each record, joined by "\n\n". Tokenised as a whole.
TaskText own_text(const TaskInput& input, int64_t sequence_length);

// The documents of a text or jsonl file, named as own_text() has it.
std::vector<std::string> read_texts(const std::filesystem::path& file, const std::string& field);

// Windows of `sequence_length` tokens as Python's random module draws them with seed 0: a document
// by randint until one has more than sequence_length tokens, then the start by randint.
// InputError where no document is long enough.
struct SampledWindows {
  std::vector<std::pair<int64_t, int64_t>> places;  // document, first token
  std::vector<int32_t> ids;                         // of the windows, one behind the other
};
SampledWindows sample_windows(std::span<const std::string> documents, const Tokenizer& tokenizer,
                              int64_t sequence_length, int64_t count);

}  // namespace littlebit
