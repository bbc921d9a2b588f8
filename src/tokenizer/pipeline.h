// A tokenizer made of parts: added tokens, normalizer, pre-tokenizers, model, post-processor,
// decoder.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "littlebit/tokenizer/tokenizer.h"
#include "tokenizer/added_vocabulary.h"
#include "tokenizer/decoder.h"
#include "tokenizer/model.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/post_processor.h"
#include "tokenizer/pre_tokenizer.h"

namespace littlebit::tokenizer {

struct PipelineParts {
  std::unique_ptr<Vocabulary> vocabulary = std::make_unique<Vocabulary>();  // the model's
  AddedVocabulary added{*vocabulary};
  std::unique_ptr<Normalizer> normalizer;
  PreTokenizers pre_tokenizers;
  std::unique_ptr<Model> model;
  PostProcessor post_processor;
  std::unique_ptr<Decoder> decoder;
  std::optional<int32_t> bos, eos;
  std::vector<std::filesystem::path> files;  // that decide the ids
};

std::unique_ptr<Tokenizer> make_pipeline(PipelineParts parts);

// The hash of the files' names and contents.
std::string hash_of_files(const std::vector<std::filesystem::path>& files);

}  // namespace littlebit::tokenizer
