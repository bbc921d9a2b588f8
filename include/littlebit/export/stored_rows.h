// Embedding and head in the form that a packed folder holds them in.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "littlebit/io/json.h"
#include "littlebit/models/decoder.h"
#include "littlebit/ops/grouped_rows.h"

namespace littlebit {

// How a packed folder holds embedding and head: in bf16, or in whole numbers of 8 or 4 bits with a
// scale for every group of them in a row. A tied matrix is one, with one format.
enum class RowFormat { kBf16, kInt8, kInt4 };
struct RowFormats {
  RowFormat embedding = RowFormat::kBf16, head = RowFormat::kBf16;
  int64_t group_size = 0;  // 0: 64 for int8, 32 for int4
};

// Bytes of a matrix in a format, scales included.
uint64_t stored_bytes(int64_t rows, int64_t cols, RowFormat format, int64_t group_size);

// What a matrix lost.
struct GroupedMatrix {
  std::string part;  // "embeddings", "head"; a tied one is the embeddings
  int bits = 0;
  int64_t group_size = 0;
  double stored_bits = 0;     // per number: scales and padding included
  double relative_error = 0;  // Frobenius norm of what is lost over the matrix's
};

// Where there is nothing, the matrix is stored in bf16.
struct StoredRows {
  std::optional<GroupedRows> embedding, head;
  std::vector<GroupedMatrix> lost;
};

// Of a decoder whose matrices are dense. LB_ASSERT: a tied one has one format.
StoredRows store_rows(const Decoder& decoder, const RowFormats& formats);

// The formats as littlebit_config.json says them under kGroupedKey: parts that are not in bf16.
constexpr char kGroupedKey[] = "grouped_matrices";
Json formats_json(const RowFormats& formats, bool tied);

}  // namespace littlebit
