// Ids from two kinds of files behind one face. A safetensors file may hold its ids unaligned and as
// int64, so they are fetched one by one with memcpy; a token file of ours is copied as it is.
#include "data/token_source.h"

#include <algorithm>
#include <cstring>

#include "littlebit/core/error.h"
#include "littlebit/core/hash.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"

namespace littlebit {
namespace {

constexpr char kTensor[] = "input_ids";
constexpr char kKindsHint[] =
    "data.train.format tokens is for token files of this program and safetensors files with "
    "input_ids [N, sequence_length] of int32 or int64; for text, use text, lines, wikitext or "
    "jsonl";

template <class Id>
Id load(const TensorView& tensor, int64_t i) {
  Id id;
  std::memcpy(&id, tensor.data.data() + static_cast<size_t>(i) * sizeof(Id), sizeof(Id));
  return id;
}

}  // namespace

TokenSource::TokenSource(const SourceOptions& source, TokenFile file)
    : name_(source.path.string()),
      weight_(source.weight),
      num_tokens_(static_cast<int64_t>(file.tokens().size())),
      file_(std::move(file)) {}

TokenSource::TokenSource(const SourceOptions& source, std::unique_ptr<SafetensorsFile> rows)
    : name_(source.path.string()),
      weight_(source.weight),
      rows_(std::move(rows)),
      ids_(rows_->find(kTensor)) {
  num_tokens_ = ids_->numel();
}

TokenSource TokenSource::open(const SourceOptions& source, int64_t sequence_length) {
  if (TokenFile::has_magic(MappedFile(source.path).bytes())) {
    return TokenSource(source, TokenFile(source.path));
  }
  const std::string name = source.path.string();
  std::unique_ptr<SafetensorsFile> rows;
  try {
    rows = std::make_unique<SafetensorsFile>(source.path);
  } catch (const InputError& error) {
    throw InputError(error.what(), kKindsHint);
  }
  const TensorView* ids = rows->find(kTensor);
  if (ids == nullptr) throw InputError(name + ": no tensor \"input_ids\"", kKindsHint);
  const bool is_integer = ids->dtype == Dtype::kI32 || ids->dtype == Dtype::kI64;
  if (!is_integer || ids->shape.size() != 2) {
    throw InputError(name +
                         ": tensor \"input_ids\" must be I32 or I64 [N, sequence_length], found " +
                         ids->dtype_text() + " " + shape_text(ids->shape),
                     kKindsHint);
  }
  if (ids->shape[1] != sequence_length) {
    throw UsageError(name + ": the rows of \"input_ids\" " + shape_text(ids->shape) + " have " +
                         std::to_string(ids->shape[1]) + " tokens, data.sequence_length is " +
                         std::to_string(sequence_length),
                     "set data.sequence_length=" + std::to_string(ids->shape[1]));
  }
  return TokenSource(source, std::move(rows));
}

std::span<const uint64_t> TokenSource::document_starts() const {
  return file_ ? file_->document_starts() : std::span<const uint64_t>();
}

std::string TokenSource::content_hash() const {
  if (file_) return file_->checksum();
  return littlebit::content_hash(ids_->data);
}

int64_t TokenSource::id_at(int64_t i) const {
  if (file_) return file_->tokens()[static_cast<size_t>(i)];
  return ids_->dtype == Dtype::kI32 ? load<int32_t>(*ids_, i) : load<int64_t>(*ids_, i);
}

void TokenSource::copy(int64_t first, std::span<int32_t> out) const {
  if (file_) {
    const auto from = file_->tokens().subspan(static_cast<size_t>(first), out.size());
    std::copy(from.begin(), from.end(), out.begin());
    return;
  }
  for (int32_t& id : out) id = static_cast<int32_t>(id_at(first++));
}

void TokenSource::check_ids(int64_t vocab_size) const {
  for (int64_t i = 0; i < num_tokens_; ++i) {
    // Every id, once per start; the files are read for their checksums anyway.
    const int64_t id = id_at(i);
    if (id >= 0 && id < vocab_size) continue;
    std::string place = "token " + format_count(i);
    if (has_rows()) {
      place = "row " + std::to_string(i / ids_->shape[1]) + ", position " +
              std::to_string(i % ids_->shape[1]);
    }
    throw InputError(name_ + ": " + place + ": id " + std::to_string(id) +
                         " is outside the model's vocabulary of " + std::to_string(vocab_size),
                     "the ids come from another tokenizer than the model's");
  }
}

}  // namespace littlebit
