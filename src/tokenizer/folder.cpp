// Which of a folder's files make the tokenizer.
#include <filesystem>

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/tokenizer/tokenizer.h"
#include "tokenizer/sentencepiece_tokenizer.h"

namespace littlebit {

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& folder) {
  if (!std::filesystem::is_directory(folder))
    throw InputError(folder.string() + ": no such folder",
                     "a tokenizer is loaded from the folder of its model");
  TokenizerConfig config = read_tokenizer_config(folder);
  if (std::filesystem::is_regular_file(folder / "tokenizer.model"))
    return load_sentencepiece(folder / "tokenizer.model", config);
  std::vector<std::string> found;
  for (const char* name : {"tokenizer.json", "vocab.json", "merges.txt", "vocab.txt"})
    if (std::filesystem::exists(folder / name)) found.push_back(name);
  throw InputError(folder.string() + ": no tokenizer that we understand; found: " +
                       (found.empty() ? "none of the usual files" : join(found, ", ")),
                   "supported: a SentencePiece tokenizer.model");
}

}  // namespace littlebit
