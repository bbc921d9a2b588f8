// SentencePiece's BPE for models that trim spaces and rewrite nothing else, many times faster than
// the library.
//
// Gives the ids of SentencePiece's own segmentation: the piece of the best score is made first, of
// two places the left one. Only for models where that is the same as merging by rank (see
// can_trim_and_merge).
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "tokenizer/model.h"
#include "tokenizer/sentencepiece_model.h"
#include "tokenizer/workspace_pool.h"

namespace littlebit::tokenizer {

class TrimmingBpe {
 public:
  // nullptr where the model is not of the simple kind.
  static std::unique_ptr<TrimmingBpe> make(const SentencePieceModel& model);

  void segment(std::string_view text, std::vector<int32_t>& ids) const;

 private:
  explicit TrimmingBpe(const SentencePieceModel& model);
  std::string trimmed(std::string_view text) const;

  bool prefix_;
  std::unique_ptr<Model> bpe_;
  mutable WorkspacePool pool_;
};

}  // namespace littlebit::tokenizer
