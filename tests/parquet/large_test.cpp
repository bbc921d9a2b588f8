// A file of 100,000 rows in several row groups against the same rows as jsonl: tokens, time, peak
// memory. Written here by Arrow, in both encodings and with two compressions.
#include <arrow/io/file.h>
#include <parquet/column_writer.h>
#include <parquet/exception.h>
#include <parquet/file_writer.h>
#include <parquet/properties.h>
#include <parquet/schema.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>

#include "littlebit/core/strings.h"
#include "littlebit/data/documents.h"
#include "littlebit/data/token_file.h"
#include "littlebit/data/tokenize_source.h"
#include "temp_folder.h"
#include "unit/data/byte_tokenizer.h"

using namespace littlebit;
using namespace littlebit::test;

namespace {

namespace fs = std::filesystem;

constexpr int kRows = 100'000, kRowsPerGroup = 20'000;

// Texts of 20 to 180 words; every twentieth row has none in it.
std::string row_text(int row, std::mt19937& random) {
  static const char* const kWords[] = {"the ",     "of ",      "a ",    "model ",
                                       "weights ", "signs\n ", "\"x\"", "\xC3\xA9t\xC3\xA9 ",
                                       "because ", "1,024 "};
  std::string text;
  const int words = row % 20 == 0 ? 0 : 20 + static_cast<int>(random() % 160);
  for (int i = 0; i < words; ++i) text += kWords[random() % std::size(kWords)];
  return text;
}

void write_jsonl(const fs::path& path, const std::vector<std::string>& texts) {
  std::ofstream out(path);
  for (size_t i = 0; i < texts.size(); ++i) {
    out << nlohmann::json{{"id", i}, {"text", texts[i]}}.dump() << "\n";
  }
}

void write_parquet(const fs::path& path, const std::vector<std::string>& texts, bool dictionary,
                   parquet::Compression::type compression) {
  using parquet::schema::GroupNode;
  using parquet::schema::PrimitiveNode;
  const auto id = PrimitiveNode::Make("id", parquet::Repetition::REQUIRED, parquet::Type::INT64);
  const auto text = PrimitiveNode::Make("text", parquet::Repetition::OPTIONAL,
                                        parquet::LogicalType::String(), parquet::Type::BYTE_ARRAY);
  const auto schema = std::static_pointer_cast<GroupNode>(
      GroupNode::Make("schema", parquet::Repetition::REQUIRED, {id, text}));
  parquet::WriterProperties::Builder builder;
  builder.compression(compression);
  if (!dictionary) builder.disable_dictionary();
  PARQUET_ASSIGN_OR_THROW(auto out, arrow::io::FileOutputStream::Open(path.string()));
  const auto writer = parquet::ParquetFileWriter::Open(out, schema, builder.build());
  for (int first = 0; first < kRows; first += kRowsPerGroup) {
    std::vector<int64_t> ids;
    std::vector<int16_t> levels(kRowsPerGroup, 1);
    std::vector<parquet::ByteArray> values;
    for (int i = first; i < first + kRowsPerGroup; ++i) {
      ids.push_back(i);
      values.emplace_back(std::string_view(texts[static_cast<size_t>(i)]));
    }
    parquet::RowGroupWriter* group = writer->AppendRowGroup();
    static_cast<parquet::Int64Writer*>(group->NextColumn())
        ->WriteBatch(kRowsPerGroup, nullptr, nullptr, ids.data());
    static_cast<parquet::ByteArrayWriter*>(group->NextColumn())
        ->WriteBatch(kRowsPerGroup, levels.data(), nullptr, values.data());
    group->Close();
  }
  writer->Close();
  PARQUET_THROW_NOT_OK(out->Close());
}

// The most memory this process held since it was last asked, without what it maps from files.
std::optional<double> peak_mib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) / 1024;
  }
  return std::nullopt;
}
bool forget_peak() {
  std::ofstream reset("/proc/self/clear_refs");
  reset << "5" << std::flush;
  return reset.good();
}

struct Reading {
  std::vector<int32_t> ids;
  double seconds, mib;
};

Reading tokenized(const fs::path& path, const fs::path& cache) {
  using Clock = std::chrono::steady_clock;
  Reading reading{.ids = {}, .seconds = 1e9, .mib = 0};
  int64_t bytes = 0;
  for (int i = 0; i < 3; ++i) {
    const auto begin = Clock::now();
    for_each_document({.path = path},
                      [&](std::string_view text) { bytes += int64_t(text.size()); });
    reading.seconds =
        std::min(reading.seconds, std::chrono::duration<double>(Clock::now() - begin).count());
  }
  REQUIRE(forget_peak());
  const double before = *peak_mib();
  const TokenFile file = tokenize_source({.path = path}, ByteTokenizer(), cache, 2);
  reading.mib = *peak_mib() - before;
  reading.ids.assign(file.tokens().begin(), file.tokens().end());
  return reading;
}

}  // namespace

TEST_CASE("parquet: 100,000 rows give the tokens of their jsonl, as fast and in as little memory") {
  const TempFolder temp;
  std::vector<std::string> texts;
  std::mt19937 random(7);
  for (int i = 0; i < kRows; ++i) texts.push_back(row_text(i, random));
  write_jsonl(temp / "rows.jsonl", texts);
  using Compression = parquet::Compression;
  write_parquet(temp / "plain_snappy.parquet", texts, false, Compression::SNAPPY);
  write_parquet(temp / "dictionary_zstd.parquet", texts, true, Compression::ZSTD);
  write_parquet(temp / "plain_zstd.parquet", texts, false, Compression::ZSTD);
  write_parquet(temp / "dictionary_snappy.parquet", texts, true, Compression::SNAPPY);
  texts = {};
  tokenized(temp / "plain_snappy.parquet", temp / "first");  // loads the library
  const Reading jsonl = tokenized(temp / "rows.jsonl", temp / "cache");
  std::cout << "jsonl: " << format_fixed(jsonl.seconds, 2) << " s, " << format_fixed(jsonl.mib, 0)
            << " MiB\n";
  for (const char* name : {"plain_snappy", "dictionary_zstd", "plain_zstd", "dictionary_snappy"}) {
    const Reading parquet = tokenized(temp / (std::string(name) + ".parquet"), temp / "cache");
    std::cout << name << ": " << format_fixed(parquet.seconds, 2) << " s, "
              << format_fixed(parquet.mib, 0) << " MiB\n";
    CHECK((parquet.ids == jsonl.ids));
    CHECK(parquet.seconds < 2 * jsonl.seconds);
    CHECK(parquet.mib < jsonl.mib + 143);  // 150 MB
  }
}
