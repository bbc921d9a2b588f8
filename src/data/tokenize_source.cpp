// From text to a token file in the cache: read on this thread, tokenised in batches on all of them,
// written in order, so that the file is the same for every number of threads. A file in the cache
// is never trusted beyond its checksum.
#include "littlebit/data/tokenize_source.h"

#include <chrono>
#include <optional>
#include <thread>

#include "data/row_texts.h"
#include "littlebit/core/error.h"
#include "littlebit/core/folder_lock.h"
#include "littlebit/core/parallel.h"
#include "littlebit/core/place.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/signals.h"
#include "littlebit/core/strings.h"
#include "littlebit/core/write_file.h"
#include "littlebit/data/documents.h"
#include "littlebit/data/token_file.h"
#include "littlebit/logging/console.h"
#include "littlebit/logging/progress.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

// Large enough to keep all threads busy, small enough that a stop request is seen soon.
constexpr size_t kBatchBytes = 8u << 20;
constexpr size_t kBatchDocuments = 8192;
constexpr std::chrono::milliseconds kPause(200);  // between looks at what another process does
constexpr char kCacheVersion[] =
    "littlebit token cache 2";  // changes when the same text gives other ids

// Everything that the ids depend on, and nothing else: a copy of a text under another name finds
// the same file.
std::string cache_key(const SourceOptions& source, const Tokenizer& tokenizer,
                      const TokenFileOptions& options) {
  const SourceFormat format = settled_format(source);
  const bool has_field = format == SourceFormat::kJsonl || has_rows(source);
  const std::string packed = source.path.extension() == ".gz"    ? "gzip"
                             : source.path.extension() == ".zst" ? "zstd"
                             : has_rows(source)                  ? "parquet"
                                                                 : "plain";
  std::vector<std::string> parts = {kCacheVersion,
                                    file_hash(source.path),
                                    tokenizer.content_hash(),
                                    format_name(format),
                                    packed,
                                    has_field ? source.field : std::string()};
  if (options.on_bad_record == BadRecord::kSkip) parts.emplace_back("skip");
  for (const int32_t id : options.separator) parts.push_back("separator " + std::to_string(id));
  Hasher hasher;
  for (const std::string& part : parts) {
    hasher.update(part);
    // A border, so that "ab", "c" and "a", "bc" differ.
    hasher.update(std::string_view("\0", 1));
  }
  return hasher.hex();
}

// The file at `path` if it is there, whole, and made for `key`. A warning where it is there and
// cannot be used.
std::optional<TokenFile> open_cached(const fs::path& path, const std::string& key) {
  if (!path_exists(path)) return std::nullopt;
  try {
    TokenFile file(path);
    if (file.key() == key) return file;
    log_warning(path.string() + ": it was made from another source; tokenising again");
  } catch (const InputError& damage) {
    log_warning(std::string(damage.what()) + "; tokenising again");
  }
  return std::nullopt;
}

// What a link in the cache points to may be anybody's: only a token file is made anew there.
void check_link(const fs::path& path) {
  std::error_code unknown;
  if (!fs::is_symlink(path, unknown) || !path_exists(path)) return;
  if (fs::is_regular_file(path, unknown) && TokenFile::has_magic(MappedFile(path).bytes())) return;
  throw OutputError(path.string() + " is a link to something that is not a token file",
                    "remove the link; the file is then written");
}

// Collects documents and writes their ids batch by batch.
class BatchTokenizer {
 public:
  BatchTokenizer(const Tokenizer& tokenizer, const std::vector<int32_t>& separator, int threads,
                 TokenFileWriter* writer)
      : tokenizer_(tokenizer), separator_(separator), threads_(threads), writer_(writer) {}

  // True where a batch was written.
  bool add(std::string_view document) {
    if (document.size() >= kBatchBytes) {  // a batch of its own, not worth a copy
      flush();
      writer_->add_document(encode(document));
      return true;
    }
    documents_.emplace_back(document);
    bytes_ += document.size();
    if (bytes_ < kBatchBytes && documents_.size() < kBatchDocuments) return false;
    flush();
    return true;
  }

  void flush() {
    std::vector<std::vector<int32_t>> ids(documents_.size());
    parallel_for(static_cast<int64_t>(ids.size()), threads_,
                 [&](int64_t i) { ids[size_t(i)] = encode(documents_[size_t(i)]); });
    for (const std::vector<int32_t>& document : ids) writer_->add_document(document);
    documents_.clear();
    bytes_ = 0;
  }

 private:
  std::vector<int32_t> encode(std::string_view document) const {
    std::vector<int32_t> ids = tokenizer_.encode(document, true);
    ids.insert(ids.end(), separator_.begin(), separator_.end());
    return ids;
  }

  const Tokenizer& tokenizer_;
  const std::vector<int32_t>& separator_;
  const int threads_;
  TokenFileWriter* writer_;
  std::vector<std::string> documents_;
  size_t bytes_ = 0;
};

[[noreturn]] void stop(const SourceOptions& source) {
  throw Error(ExitCode::kStopped, source.path.string() + ": stopped while tokenising it",
              "start the same command again; this file is then tokenised from its beginning");
}

void tell_skipped(const SourceOptions& source, const SkippedRecords& skipped) {
  if (skipped.count == 0) return;
  const auto more = skipped.count - static_cast<int64_t>(skipped.first.size());
  log_warning(source.path.string() + ": left out " + format_count(skipped.count) + " of " +
              format_count(skipped.count + skipped.read) +
              " records (data.on_bad_record: skip):\n  " + join(skipped.first, "\n  ") +
              (more > 0 ? "\n  and " + format_count(more) + " more" : ""));
}

// Makes the file at `path`. BusyError where another process is about it.
void make_token_file(const SourceOptions& source, const Tokenizer& tokenizer, const fs::path& path,
                     const std::string& key, int threads, const TokenFileOptions& options) {
  TokenFileWriter writer(path, key);
  std::error_code ignored;  // a file that cannot be asked cannot be read either
  const auto size = static_cast<int64_t>(fs::file_size(source.path, ignored));
  Progress progress("tokenising " + source.path.filename().string(), size, "B");
  BatchTokenizer batches(tokenizer, options.separator, threads, &writer);
  SkippedRecords skipped;
  read_documents(
      source,
      [&](std::string_view document, uint64_t bytes_done) {
        if (!batches.add(document)) return;
        progress.update(static_cast<int64_t>(bytes_done));
        if (stop_requested()) stop(source);
      },
      options.on_bad_record == BadRecord::kSkip ? &skipped : nullptr);
  batches.flush();
  writer.commit();
  progress.update(size);
  progress.finish(format_count(writer.num_documents()) + " documents, " +
                  format_count(writer.num_tokens()) + " tokens");
  tell_skipped(source, skipped);
}

}  // namespace

TokenFile tokenize_source(const SourceOptions& source, const Tokenizer& tokenizer,
                          const fs::path& cache_dir, int threads, const TokenFileOptions& options) {
  const std::string key = cache_key(source, tokenizer, options);
  const fs::path path = cache_dir / ("tokens-" + key + ".bin");
  // The writer locks its file: of several processes that want it, one makes it, and the others wait
  // and then read it.
  for (bool waiting = false;;) {
    if (auto cached = open_cached(path, key)) return std::move(*cached);
    check_link(path);
    create_folders(cache_dir);
    try {
      make_token_file(source, tokenizer, path, key, threads, options);
      return TokenFile(path);
    } catch (const BusyError&) {
      if (!waiting) log_info(source.path.string() + ": another process is tokenising it; waiting");
      waiting = true;
    }
    if (stop_requested()) stop(source);
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace littlebit
