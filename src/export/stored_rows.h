// Embedding and head in the form that a packed folder holds them in.
#pragma once

#include <optional>
#include <vector>

#include "littlebit/export/folder.h"
#include "littlebit/io/json.h"

namespace littlebit {

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
