// The model of a tokenizer: pieces of text to ids, by a vocabulary. BPE or Unigram.
//
// Immutable after construction; several threads may use one, each with its own Workspace.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizer/word_cache.h"

namespace littlebit::tokenizer {

// Vocabulary as a file has it: token and id, both unique. Ids may leave holes.
inline constexpr int64_t kMaxIds = 1 << 24;  // ids lie below; a damaged one asks for no memory
using Vocabulary = std::unordered_map<std::string, int32_t>;

// What a model keeps between calls; the cache is of the model it was used with.
struct Workspace {
  WordCache cache;
  std::vector<int32_t> a, b, c;
  std::vector<uint64_t> heap;
  std::vector<double> scores;
};

class Model {
 public:
  virtual ~Model() = default;

  // Appends the ids of `piece` (not empty). Where the model was made for bytes, the piece is bytes
  // as they are.
  virtual void tokenize(std::string_view piece, Workspace& work,
                        std::vector<int32_t>& ids) const = 0;
  virtual std::string description() const = 0;  // "BPE, byte level"
};

}  // namespace littlebit::tokenizer
